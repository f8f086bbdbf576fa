"""gRPC-Web by hand, over HTTP/1.1: what a browser sends and gets."""

import base64
import http.client
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.rpc import error_details_pb2, status_pb2

from shared.status import DETAILS_KEY

WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
TEXT = {
    "content-type": "application/grpc-web-text",
    "accept": "application/grpc-web-text",
    "x-grpc-web": "1",
}
_TRAILERS = 0x80


@dataclass
class Answer:
    """What came back: the HTTP part, the messages, and gRPC's trailers wherever they stood."""

    http_status: int
    headers: http.client.HTTPMessage
    body: bytes
    messages: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def grpc_status(self) -> int:
        """The number of the gRPC status."""
        return int(self.trailers["grpc-status"])

    @property
    def reason(self) -> str:
        """The reason in ErrorInfo, the first of the details."""
        text = self.trailers[DETAILS_KEY]
        status = status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        return str(info.reason)


def framed(message: bytes) -> bytes:
    """A message with its frame's head."""
    return struct.pack(">BI", 0, len(message)) + message


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """The frames of an answer: flag (0x80: trailers) and content."""
    found = []
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        found.append((flag, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def ask(
    target: str,
    path: str,
    message: bytes = b"",
    headers: Mapping[str, str] = WEB,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """A unary call."""
    as_text = headers.get("content-type") == TEXT["content-type"]
    body = base64.b64encode(framed(message)) if as_text else framed(message)
    answer = request(target, "POST", path, headers, body, tls)
    answer.trailers = {key.lower(): text for key, text in answer.headers.items()}
    answered_in = answer.headers["content-type"] or ""
    if answered_in.startswith("application/grpc-web"):
        content = _from_text(answer.body) if "-text" in answered_in else answer.body
        for flag, part in frames(content):
            if flag == _TRAILERS:
                lines = part.decode().splitlines()
                answer.trailers |= {
                    key: text for key, _, text in (line.partition(":") for line in lines)
                }
            else:
                answer.messages.append(part)
    return answer


def _from_text(body: bytes) -> bytes:
    """What each part of the answer says, each encoded by itself, with its own padding."""
    return b"".join(base64.b64decode(body[at : at + 4]) for at in range(0, len(body), 4))


def request(
    target: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Any HTTP request."""
    connection = _connection(target, 10, tls)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def preflight(target: str, path: str, origin: str) -> Answer:
    """What a browser asks before a page of the origin may call."""
    asked = "authorization,content-type,grpc-timeout,x-grpc-web"
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    return request(target, "OPTIONS", path, headers)


class Stream:
    """A call with a stream of answers, read a message at a time."""

    def __init__(
        self, target: str, path: str, message: bytes, headers: Mapping[str, str] = WEB
    ) -> None:
        self._connection = _connection(target, 25, None)
        self._connection.request("POST", path, framed(message), dict(headers))
        self._response = self._connection.getresponse()

    def read(self) -> bytes:
        flag, length = struct.unpack(">BI", self._response.read(5))
        assert flag == 0, self._response.read(length)
        return self._response.read(length)

    def close(self) -> None:
        self._connection.close()


def _connection(
    target: str, timeout_s: float, tls: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    if tls is None:
        return http.client.HTTPConnection(target, timeout=timeout_s)
    return http.client.HTTPSConnection(target, timeout=timeout_s, context=tls)
