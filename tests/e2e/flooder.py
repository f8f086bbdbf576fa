"""A flood over HTTP/2 by hand, as a process of its own: calls at a rate, whatever becomes of the
earlier ones, but for those of a connection that has as many open as the gateway lets it have: more
would end it.

`python -m tests.e2e.flooder host:port path calls_per_second kind token` sends until it is killed,
from the address `SOURCE`. For each batch it writes a line: how many calls were sent so far, and how
many ended. What the kinds send as `authorization` is in `AUTHORIZATIONS`.
"""

import itertools
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

# Each batch goes out at once, on each connection.
CONNECTIONS, BATCHES_PER_SECOND = 8, 10
MAX_OPEN = 64
SOURCE = "127.0.0.2"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4


def _padded(token: str, number: int) -> str:
    """The same token in another spelling: in front, or in its signature."""
    if number % 2:
        return f"Bearer{' ' * (number % 300 + 1)}{token}"
    return f"Bearer {token}{'=' * (number % 300)}"


AUTHORIZATIONS: dict[str, Callable[[str, int], str]] = {
    "one token": lambda token, _number: f"Bearer {token}",
    "made-up tokens": lambda _token, number: f"Bearer made.up{number}.x",
    "padded token": _padded,
}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _length(size: int) -> bytes:
    """An integer of HPACK with a prefix of 7 bits."""
    if size < 127:
        return bytes([size])
    rest, size = b"\x7f", size - 127
    while size >= 128:
        rest += bytes([size % 128 + 128])
        size //= 128
    return rest + bytes([size])


def _header(name: str, text: str) -> bytes:
    """Literal, and in no table."""
    said = b"\x00"
    for part in (name.encode(), text.encode()):
        said += _length(len(part)) + part
    return said


def call(stream: int, path: str, authorization: str) -> bytes:
    """The frames of a unary call with an empty request."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "gateway",
        "content-type": "application/grpc",
        "te": "trailers",
        "authorization": authorization,
    }
    block = b"".join(_header(name, text) for name, text in headers.items())
    return frame(_HEADERS, _END_HEADERS, stream, block) + frame(
        _DATA, _END_STREAM, stream, b"\0\0\0\0\0"
    )


class Connection:
    """One that reads answers only to count them."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), source_address=(SOURCE, 0))
        self._socket.setblocking(False)
        window = struct.pack(">I", 2**30)
        self._to_send = _PREFACE + frame(_SETTINGS, 0, 0, b"")
        self._to_send += frame(_WINDOW_UPDATE, 0, 0, window)
        self._streams = itertools.count(1, 2)
        self._read = b""
        self._open: set[int] = set()
        self.ended = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, path: str, authorizations: Iterator[str], count: int) -> int:
        """Sends so many calls, as far as it may have them open; how many."""
        if self._to_send and not self.flush():
            return 0
        count = min(count, MAX_OPEN - len(self._open))
        for stream in itertools.islice(self._streams, count):
            self._open.add(stream)
            self._to_send += call(stream, path, next(authorizations))
        self.flush()
        return count

    def flush(self) -> bool:
        """Whether everything is out."""
        try:
            self._to_send = self._to_send[self._socket.send(self._to_send) :]
        except BlockingIOError:
            return False
        return not self._to_send

    def receive(self) -> None:
        """Reads what is there; EOFError at the end of the connection."""
        part = self._socket.recv(262_144)
        if not part:
            raise EOFError
        self._read += part
        while len(self._read) >= 9:
            size = int.from_bytes(self._read[:3])
            if len(self._read) < 9 + size:
                return
            kind, flags = self._read[3], self._read[4]
            stream = int.from_bytes(self._read[5:9])
            if stream in self._open and (kind == _RST_STREAM or flags & _END_STREAM):
                self._open.remove(stream)
                self.ended += 1
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                payload = self._read[9 : 9 + size] if kind == _PING else b""
                self._to_send += frame(kind, _ACK, 0, payload)
            self._read = self._read[9 + size :]


class Flood:
    """Calls at a rate, on several connections, each replaced when it is closed."""

    def __init__(self, host: str, port: int, path: str, authorizations: Iterator[str]) -> None:
        self._target = (host, port)
        self._path = path
        self._authorizations = authorizations
        self._selector = selectors.DefaultSelector()
        self._connections = [self._connect() for _ in range(CONNECTIONS)]
        self.sent = self.ended = 0

    def batch(self, count: int) -> None:
        """Sends so many calls on each connection."""
        for connection in self._connections:
            try:
                self.sent += connection.send(self._path, self._authorizations, count)
            except OSError:
                self._replace(connection)

    def receive_until(self, end: float) -> None:
        """Reads answers until then."""
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                connection = key.fileobj
                assert isinstance(connection, Connection)
                before = connection.ended
                try:
                    connection.receive()
                except (OSError, EOFError):
                    self._replace(connection)
                self.ended += connection.ended - before

    def _connect(self) -> Connection:
        connection = Connection(*self._target)
        self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def _replace(self, connection: Connection) -> None:
        self._selector.unregister(connection)
        self._connections[self._connections.index(connection)] = self._connect()


def main(target: str, path: str, calls_per_second: int, kind: str, token: str) -> None:
    """Floods for ever."""
    # Meant is another machine: it takes no processor from those that are measured.
    os.nice(19)
    host, _, port = target.rpartition(":")
    authorizations = (AUTHORIZATIONS[kind](token, number) for number in itertools.count())
    flood = Flood(host, int(port), path, authorizations)
    count = calls_per_second // CONNECTIONS // BATCHES_PER_SECOND
    due = time.monotonic()
    while True:
        flood.batch(count)
        due += 1 / BATCHES_PER_SECOND
        flood.receive_until(due)
        sys.stdout.write(f"{flood.sent} {flood.ended}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
