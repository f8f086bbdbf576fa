"""Callers: tokens of each role, and channels that carry them."""

import time
from typing import Any

import jwt
from grpc import aio

from shared import channels
from shared.renewed_channel import Credentials

AUTH_SECRET = "an auth secret for tests: 32 chars and more"
AUDIENCE = "laurel"
TESTS = "tests"
"""The subject of the administrator as whom tests call if they do not say otherwise."""


def token(role: str = "admin", subject: str = TESTS, **claims: Any) -> str:
    """A token that is valid for an hour, unless the claims say otherwise; one that is None is left
    out.
    """
    now = int(time.time())
    given = {"sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "roles": [role]}
    kept = {key: value for key, value in {**given, **claims}.items() if value is not None}
    return jwt.encode(kept, AUTH_SECRET, algorithm="HS256")


def bearer(role: str = "admin", subject: str = TESTS, **claims: Any) -> str:
    """The same as the value of `authorization`."""
    return f"Bearer {token(role, subject, **claims)}"


def as_role(role: str, subject: str) -> dict[str, Any]:
    """What makes one call that of another caller: `stub.Method(request, **as_role(...))`."""
    return {"metadata": (("authorization", bearer(role, subject)),)}


def acting(name: str, role: str = "admin", subject: str = TESTS) -> dict[str, Any]:
    """The same of a caller who says for whom it acts."""
    (who,) = as_role(role, subject)["metadata"]
    return {"metadata": (who, ("x-laurel-actor", name))}


_admin = bearer()


def open_channel(
    target: str,
    *,
    own_connection: bool = False,
    authorization: str = _admin,
    credentials: Credentials | None = None,
) -> aio.Channel:
    """A channel of this project's own kind, as an administrator."""
    return channels.open_channel(
        target,
        own_connection=own_connection,
        token=lambda: authorization,
        credentials=credentials,
    )


def dial(target: str, options: Any = None, authorization: str = _admin) -> aio.Channel:
    """A channel with these options alone, as an administrator."""
    channel = aio.insecure_channel(target, options=options)
    return channels.CallerChannel(channel, lambda: authorization)
