"""Rubbish for the gateway: bodies and headers that no browser would send."""

import base64
import http.client
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from grpc import StatusCode

from tests.byte_mutants import mutant
from tests.e2e.grpc_web import TEXT, WEB, framed

_TIMEOUTS = [
    *("0S", "0n", "1n", "1m", "99999999H", "99999999S", "8S"),
    *("", "1", "S", "-1S", "1s", "1.5S", "1 S", "999999999S", "18446744073709551616S", "\u00b2S"),
]
_SAID = {
    "grpc-timeout": _TIMEOUTS,
    "x-request-id": ["", "x" * 65, "x" * 4_000, '"}{"', "a b", "\xff"],
    "x-laurel-actor": ["root", "x" * 4_000],
    "grpc-encoding": ["gzip", "identity", "br", ""],
    "content-encoding": ["gzip", "br"],
    "te": ["trailers", "chunked"],
    "content-type": ["application/grpc", "application/grpc-web", "application/grpc+json", "a/b"],
    "grpc-status": ["0", "13"],
    "authorization": ["\xff", "Bearer \xff", "Bearer " + "a" * 8_000, ""],
    "x-anything": ["\xff" * 50, "\xc3\xa9"],
    "x-anything-bin": ["!!!", "AA"],
    "x-forwarded-for": ["127.0.0.1", "x" * 500],
    "x-envoy-upstream-rq-timeout-ms": ["1"],
    "x-envoy-original-path": ["/laurel.progress.v1.ProgressAdminService/GetStatus"],
}
TIMEOUT_S = 15.0
FINE = {
    code.value[0]
    for code in StatusCode
    if code not in {StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.DATA_LOSS}
}


_OF_GRPC_ITSELF = re.compile(
    r"Error parsing '[a-z-]+' metadata(: illegal base64 encoding)?"
    r"|Compression bit set but no encoding configured"
)
"""What grpc answers, as INTERNAL, before a call reaches a service: its protocol wants it so."""


@dataclass(frozen=True)
class Thrown:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def rubbish(
    chance: random.Random, asked: Sequence[tuple[str, bytes]], authorization: str
) -> Thrown:
    """A call of one of these, spoilt in its message, its frame, or its headers."""
    path, message = chance.choice(asked)
    headers = dict(chance.choice([WEB, WEB, TEXT]))
    headers["authorization"] = authorization
    body = framed(mutant(chance, message) if chance.randrange(3) else message)
    if not chance.randrange(3):
        body = _spoilt_frame(chance, body)
    if headers["content-type"] == TEXT["content-type"]:
        body = base64.b64encode(body)
        if not chance.randrange(3):
            body = mutant(chance, body)
    if not chance.randrange(3):
        name = chance.choice(sorted(_SAID))
        headers[name] = chance.choice(_SAID[name])
    return Thrown(path, headers, body)


def _spoilt_frame(chance: random.Random, body: bytes) -> bytes:
    flag = bytes([chance.choice([0, 1, 2, 0x7F, 0x80, 0x81, 0xFF])])
    length = chance.choice([0, 1, len(body) - 5, len(body), 2**31, 2**32 - 1]).to_bytes(4)
    return chance.choice(
        [
            b"",
            body[:4],
            body[:-1],
            body + b"\x00",
            body * 2,
            flag + body[1:],
            body[:1] + length + body[5:],
        ]
    )


def throw(target: str, thrown: Sequence[Thrown]) -> list[str]:
    """Sends them one after the other; what is wrong with an answer, a line each."""
    wrong = []
    connection = http.client.HTTPConnection(target, timeout=TIMEOUT_S)
    for one in thrown:
        try:
            connection.request("POST", one.path, one.body, dict(one.headers))
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            wrong.append(f"{error!r} for {one!r:.1500}")
            connection.close()
            continue
        status = _grpc_status(response, body)
        message = unquote(response.headers["grpc-message"] or "")
        if not _is_fine(one, response.status, status, message):
            text = message or body[-200:]
            wrong.append(f"{response.status}, {status}, {text!r} for {one!r:.1500}")
        if response.will_close:
            connection.close()
    connection.close()
    return wrong


def _is_fine(one: Thrown, http_status: int, status: int | None, message: str) -> bool:
    if _OF_GRPC_ITSELF.fullmatch(message):
        return True
    if status is None:
        return http_status < 500 or not one.headers["content-type"].startswith("application/grpc")
    # Its caller did not wait for it.
    return status in FINE and (http_status < 500 or (http_status == 504 and _hurries(one)))


def _hurries(one: Thrown) -> bool:
    return "grpc-timeout" in one.headers or "x-envoy-upstream-rq-timeout-ms" in one.headers


def _grpc_status(response: http.client.HTTPResponse, body: bytes) -> int | None:
    """None: the answer speaks no gRPC, or was not told how the call ended."""
    if (said := response.headers["grpc-status"]) is not None:
        return int(said)
    if b"grpc-status:" in body:
        return int(body.partition(b"grpc-status:")[2].split(b"\r\n")[0])
    return None
