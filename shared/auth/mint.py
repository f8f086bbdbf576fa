"""Tokens that this deployment signs itself."""

import time

import jwt
from pydantic import SecretStr

from shared.identity import Identity
from shared.settings import CommonSettings, split_secrets

OWN_ISSUER = "laurel"
"""The `iss` where LAUREL_AUTH_ISSUER does not say which one."""


def minted(settings: CommonSettings, secret: SecretStr, identity: Identity) -> str:
    """A token that says who `identity` is and ends at its `expires`, signed HS256 with the first
    secret of the list.
    """
    claims: dict[str, object] = {
        "iss": settings.auth_issuer or OWN_ISSUER,
        "aud": settings.auth_audience,
        "sub": identity.subject,
        "iat": int(time.time()),
        "exp": int(identity.expires),
        settings.auth_roles_claim: [identity.role.name.lower()],
    }
    for claim in ("name", "picture", "zoneinfo"):
        if text := getattr(identity, claim):
            claims[claim] = text
    return jwt.encode(claims, split_secrets(secret)[0], algorithm="HS256")
