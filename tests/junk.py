"""Bytes for a port on which gRPC is spoken, that are no gRPC, and little HTTP/2."""

import random
from collections.abc import Iterator, Mapping

from tests.byte_mutants import varint

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_CASES = 100


def junk(chance: random.Random) -> Iterator[bytes]:
    """What a connection begins with, and all it says."""
    yield from (b"", b"\x00", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00")
    yield from (_PREFACE, _PREFACE[:10], _PREFACE * 2, _PREFACE + b"\xff" * 9, b"\x00" * 65_536)
    for _ in range(_CASES):
        yield chance.randbytes(chance.choice([1, 9, 24, 300]))
        yield _PREFACE + b"".join(_frame(chance) for _ in range(chance.randint(1, 20)))


def odd_calls(path: str) -> Iterator[bytes]:
    """Connections that each make one call, rightly but for its headers."""
    for name, value in _ODD_HEADERS:
        yield call_of({b":path": path.encode(), name: value})


def call_of(headers: Mapping[bytes, bytes]) -> bytes:
    """A connection that makes one call, with an empty message and these headers."""
    usual = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/",
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    block = b"".join(_header(*pair) for pair in {**usual, **headers}.items())
    return b"".join(
        [_PREFACE, _framed(4, 0, 0, b""), _framed(1, 4, 1, block), _framed(0, 1, 1, b"\x00" * 5)]
    )


_ODD_HEADERS = [
    (b"authorization", b"\xff"),
    (b"authorization", b"Bearer \xc3\x28"),
    (b"authorization", b"Bearer a.b.\x00c"),
    (b"authorization", b"Bearer " + b"a" * 7_000),
    (b"x-request-id", b"\xff\xfe"),
    (b"x-request-id", b'"}\n{"level":"error"}'),
    (b"x-laurel-actor", b"\xed\xa0\x80"),
    (b"x-anything", b"\xff" * 100),
    (b"x-anything", b"\r\nx-laurel-actor: root"),
    (b"x-anything-bin", b"!!!"),
    (b"\xff", b"x"),
    (b"X-UPPER", b"x"),
    (b"grpc-timeout", b"S"),
    (b"grpc-timeout", b"-1S"),
    (b"grpc-timeout", b"99999999999999999999S"),
    (b"grpc-encoding", b"br"),
    (b"content-type", b"text/html"),
    (b":path", b"/" + b"a" * 7_000),
    (b":method", b"GET"),
    (b":authority", b"\xff"),
]


def _header(name: bytes, value: bytes) -> bytes:
    """As HPACK has a header that is not to be remembered."""
    return b"\x00" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    return bytes([len(text)]) if len(text) < 127 else b"\x7f" + varint(len(text) - 127)


def _framed(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def _frame(chance: random.Random) -> bytes:
    """A frame of any kind, with anything in it; at times it is shorter than it says."""
    content = chance.randbytes(chance.choice([0, 4, 5, 6, 8, 40]))
    length = len(content) if chance.randrange(8) else chance.choice([0, 1, 2**14 + 1, 2**24 - 1])
    kind = chance.choice([*range(10), 255])
    stream = chance.choice([0, 1, 2, 3, 2**31 - 1, 2**32 - 1])
    head = length.to_bytes(3) + bytes([kind, chance.randrange(256)]) + stream.to_bytes(4)
    return head + content
