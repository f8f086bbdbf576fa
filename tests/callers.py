"""Everyone who may knock: tokens that are none, wrong ones, and good ones of each role."""

import time
from dataclasses import dataclass

import jwt
from grpc import StatusCode

from tests.access import AUDIENCE, bearer
from tests.who_may import ADMIN, ROLES, SERVICE, USER, Rpc

OTHER_SECRET = "a secret that the services do not know, long enough"


Refusal = tuple[StatusCode, str]
"""The status, and the ErrorInfo's reason."""


@dataclass(frozen=True)
class Caller:
    """Who calls; `about` is the user whom it asks about."""

    name: str
    authorization: str
    about: str
    role: str = ""
    subject: str = ""
    reason: str = ""
    """Why its token is refused; "" when it is good."""

    @property
    def asks_about_itself(self) -> bool:
        return self.about == self.subject

    def refusal(self, rpc: Rpc) -> Refusal | None:
        """How a service must refuse this caller's call of the RPC; None: it must not."""
        if self.reason:
            return StatusCode.UNAUTHENTICATED, self.reason
        if ROLES.index(self.role) < ROLES.index(rpc.role):
            return StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED"
        if self.role == USER and rpc.own and not self.asks_about_itself:
            return StatusCode.PERMISSION_DENIED, "NOT_YOUR_OWN"
        return None


def _unsigned() -> str:
    claims = {"sub": "root", "aud": AUDIENCE, "exp": int(time.time()) + 3600, "roles": [ADMIN]}
    return f"Bearer {jwt.encode(claims, '', algorithm='none')}"


def _signed_by_another() -> str:
    claims = {"sub": "root", "aud": AUDIENCE, "exp": int(time.time()) + 3600, "roles": [ADMIN]}
    return f"Bearer {jwt.encode(claims, OTHER_SECRET, algorithm='HS256')}"


_BAD = {
    "no token": ("", "TOKEN_MISSING"),
    "expired": (bearer(ADMIN, "root", exp=int(time.time()) - 3600), "TOKEN_EXPIRED"),
    "wrong audience": (bearer(ADMIN, "root", aud="another"), "TOKEN_INVALID"),
    "bad signature": (_signed_by_another(), "TOKEN_INVALID"),
    "alg none": (_unsigned(), "TOKEN_INVALID"),
}
"""All of them would be an administrator's: whoever believes one lets it do everything."""

CALLERS = [
    *(
        Caller(name, authorization, "ann", reason=reason)
        for name, (authorization, reason) in _BAD.items()
    ),
    Caller("user for itself", bearer(USER, "ann"), "ann", USER, "ann"),
    Caller("user for another", bearer(USER, "ann"), "bob", USER, "ann"),
    Caller("service", bearer(SERVICE, "backend"), "cat", SERVICE, "backend"),
    Caller("admin", bearer(ADMIN, "root"), "dan", ADMIN, "root"),
]
PEOPLE = ("ann", "bob", "cat", "dan")
"""Whom they ask about, each of whom there is."""
