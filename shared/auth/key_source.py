"""Where a key set (JWKS) comes from: a file, or a URL of the identity provider."""

import http.client
import io
import socket
import stat
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from shared.exposure import is_this_machine

MAX_BYTES = 1_048_576
TIMEOUT_S = 5.0
"""How long each step may take: to connect to an address, the handshake, the next bytes."""
TOTAL_S = 10.0
"""How long a URL may take to give all of it, from the start."""
_CHUNK_BYTES = 65_536


class KeySetError(Exception):
    """Why there is no key set to be had: one line, without anything of its content."""


def is_url(source: str) -> bool:
    """Whether a key set comes over the network; else `source` is a path."""
    return "://" in source


def check_source(source: str) -> str:
    """`source` itself. Raises ValueError for a URL that no key set may come from."""
    if not is_url(source):
        return source
    try:
        url = urlsplit(source)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not host or not source.isascii() or not source.isprintable() or " " in source:
        raise ValueError("is not a URL")
    if url.username is not None or url.password is not None:
        raise ValueError("must not have a user or a password in it")
    if url.scheme != "https" and not (url.scheme == "http" and is_this_machine(host)):
        raise ValueError("must be a file or an https:// URL (http:// for this machine alone)")
    return source


def read_source(source: str) -> bytes:
    """The key set as it stands there now. Blocks: for a URL up to TOTAL_S, and longer only while
    its name is looked up or its addresses do not answer, however slowly bytes come in.

    Raises KeySetError.
    """
    try:
        data = _fetched(source) if is_url(source) else _read(Path(source))
    except HTTPError as error:
        error.close()
        raise KeySetError(f"answered with HTTP status {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise KeySetError(_told(error)) from None
    if len(data) > MAX_BYTES:
        raise KeySetError(f"longer than {MAX_BYTES} bytes")
    return data


def _read(path: Path) -> bytes:
    # A pipe could be waited for without an end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise KeySetError("not a file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is a failure: it could lead to a place that no setting names."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Incoming(io.RawIOBase):
    """What a socket receives, until the deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        # Holds the socket open, as the response expects of its file.
        self._file = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it takes too long")
        self._sock.settimeout(min(left_s, TIMEOUT_S))
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response of which everything, its head too, must be here by the deadline."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Incoming(sock, deadline))


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_within(http.client.HTTPConnection, self._deadline), request)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_within(http.client.HTTPSConnection, self._deadline), request)


def _within(kind: Any, deadline: float) -> Any:
    """Makes connections of the kind whose responses, a proxy's too, have the deadline."""

    def connection(*address: Any, **options: Any) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection = kind(*address, **options)
        made.response_class = partial(_Response, deadline=deadline)  # type: ignore[assignment]
        return made

    return connection


def _fetched(url: str) -> bytes:
    # Only what `check_source` lets through comes here. S310 fears file:// URLs.
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
    deadline = time.monotonic() + TOTAL_S
    handlers = [_NoRedirects(), _Http(deadline), _Https(deadline)]
    if url.startswith("http:"):
        handlers.append(urllib.request.ProxyHandler({}))  # this machine is reached directly
    data = bytearray()
    with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as response:
        while len(data) <= MAX_BYTES and (chunk := response.read1(_CHUNK_BYTES)):
            data += chunk
    return bytes(data)


def _told(error: OSError | http.client.HTTPException | ValueError) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, OSError):
        return cause.strerror or str(cause) or type(cause).__name__
    return type(cause).__name__
