"""An identity provider for tests: keys that sign tokens, and where their set is read from."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from prometheus_client import REGISTRY

from shared.auth.authenticator import Authenticator
from shared.errors import LaurelError, Unauthenticated, Unavailable
from shared.identity import Identity
from shared.settings import ServiceSettings
from tests.access import AUDIENCE, AUTH_SECRET
from tests.signing import SECRET

OTHER_SECRET = "another secret for tests: 32 chars and more"


def settings(**given: Any) -> ServiceSettings:
    """A service's settings with the tests' secrets."""
    return ServiceSettings(**{"token_secret": SECRET, "auth_secret": AUTH_SECRET, **given})


def claims(subject: str = "ada", **given: Any) -> dict[str, Any]:
    """The claims of a token for an hour; one that is given as None is left out."""
    now = int(time.time())
    usual = {"sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 3600}
    return {name: value for name, value in {**usual, **given}.items() if value is not None}


def signed(secret: str = AUTH_SECRET, algorithm: str = "HS256", **given: Any) -> str:
    """The authorization with a token that this secret has signed."""
    return f"Bearer {jwt.encode(claims(**given), secret, algorithm)}"


async def identified(authorization: str, **given: Any) -> Identity:
    """Whom a service with these settings takes the caller for."""
    return await Authenticator(settings(**given)).identify(authorization)


async def reason(authorization: str, **given: Any) -> str:
    """Why it is refused."""
    with pytest.raises(Unauthenticated) as refused:
        await identified(authorization, **given)
    return refused.value.reason


class SigningKey:
    """A private key, and what is published of it."""

    def __init__(self, key_id: str | None, algorithm: str = "RS256", bits: int = 2048) -> None:
        self.key_id = key_id
        self.algorithm = algorithm
        self.private: Any = (
            rsa.generate_private_key(65537, bits)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public key as a member of a key set; a member given as None is left out."""
        kind = RSAAlgorithm if self.algorithm == "RS256" else ECAlgorithm
        public = kind.to_jwk(self.private.public_key(), as_dict=True)
        usual = {**public, "kid": self.key_id, "use": "sig", "alg": self.algorithm}
        return {name: value for name, value in {**usual, **members}.items() if value is not None}

    def token(self, subject: str = "ada", headers: Any = None, **given: Any) -> str:
        """A token that this key has signed."""
        named = {"kid": self.key_id, **(headers or {})}
        kept = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(claims(subject, **given), self.private, self.algorithm, kept)

    def bearer(self, subject: str = "ada", headers: Any = None, **given: Any) -> str:
        """The same as the value of `authorization`."""
        return f"Bearer {self.token(subject, headers, **given)}"


@cache
def signing_key(key_id: str | None, algorithm: str = "RS256") -> SigningKey:
    """A key of this name; the same each time, for they take long to make."""
    return SigningKey(key_id, algorithm)


def key_set(*keys: SigningKey | dict[str, Any]) -> bytes:
    """The JWKS document with these keys."""
    members = [key.jwk() if isinstance(key, SigningKey) else key for key in keys]
    return json.dumps({"keys": members}).encode()


DRIPS = {
    "head": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
}


class Provider:
    """Publishes a key set on a port of loopback; what it answers may change."""

    def __init__(self, document: bytes) -> None:
        self.document = document
        self.status = 200
        self.headers: dict[str, str] = {}
        self.reads = 0
        self.may_answer = Event()
        self.may_answer.set()
        self.drips = b""
        """What it begins to answer, to go on a byte at a time for ever; b"": it answers."""
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.reads += 1
        document = self.document
        if self.drips:
            handler.wfile.write(self.drips)
            while self.drips:
                handler.wfile.write(b" ")
                time.sleep(0.02)
            return
        self.may_answer.wait(30)
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(document)


@contextmanager
def publishing(
    provider: Provider, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serves what the provider publishes; its port. At the end nobody listens there any more."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.answer(self)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Who asked has gone before the answer, as it should in some tests."""

    with Server(("127.0.0.1", port), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        provider.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/keys"
        try:
            yield server.server_port
        finally:
            provider.may_answer.set()
            provider.drips = b""
            server.shutdown()
            thread.join()


async def until(holds: Callable[[], bool], timeout_s: float = 15) -> None:
    """Waits for the condition."""
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(source: str, every_s: float = 300) -> AsyncIterator[Authenticator]:
    """An authenticator whose keys are kept fresh meanwhile."""
    authenticator = Authenticator(settings(auth_jwks=source, auth_jwks_seconds=every_s))
    keeping = asyncio.create_task(authenticator.run())
    try:
        yield authenticator
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


async def refusal(authenticator: Authenticator, authorization: str) -> LaurelError:
    """What identifying the caller raises."""
    with pytest.raises((Unauthenticated, Unavailable)) as refused:
        await authenticator.identify(authorization)
    return refused.value


def failures() -> float:
    """How many reads of a key set have failed in this process."""
    return REGISTRY.get_sample_value("laurel_auth_keys_failures_total") or 0.0
