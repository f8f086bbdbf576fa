"""Who makes a call: verifies the token of its `authorization` metadata."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jwt
import structlog
from jwt import PyJWK
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidSignatureError,
    PyJWTError,
)
from jwt.types import Options

from shared.auth import key_set
from shared.auth.claims import identity_of
from shared.auth.key_watch import KeyWatch, keys_unavailable
from shared.auth.known_tokens import KnownTokens
from shared.errors import Unauthenticated
from shared.identity import Identity
from shared.settings import ServiceSettings, split_secrets

log = structlog.get_logger(__name__)

MAX_TOKEN_CHARS = 8_192
# The signature in the one way that its bytes are written: the bits that the last character has too
# many are 0. Otherwise one token could be spelled in several ways, and be remembered as many times.
_TOKEN = re.compile(
    r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\."
    r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?"
)
_PREFIX = "Bearer "
# Keys that a token brings along, or names the place of, would verify anything.
_REFUSED_HEADERS = frozenset({"b64", "crit", "jku", "jwk", "x5c", "x5u", "zip"})


class _NoKeyError(Exception):
    """No key at hand has signed the token; one that `keys` does not have yet may have."""

    def __init__(self, keys: KeyWatch) -> None:
        super().__init__()
        self.keys = keys


class Authenticator:
    """Verifies tokens: HS256 with the secrets of LAUREL_AUTH_SECRET, RS256 and ES256 with the keys
    of LAUREL_AUTH_JWKS. The algorithm decides which keys are tried, and they are never mixed.

    An identity is known for its token's life, or until the key set changes.
    """

    def __init__(
        self, settings: ServiceSettings, keys_changed: Callable[[], None] = lambda: None
    ) -> None:
        """`keys_changed` is called when there is another key set: `refusal` may tell otherwise."""
        self._settings = settings
        self._secrets = split_secrets(settings.auth_secret)
        self._tokens = KnownTokens()
        self._keys_changed = keys_changed
        self._keys: KeyWatch | None = None
        if settings.auth_jwks:
            self._keys = KeyWatch(
                settings.auth_jwks, settings.auth_jwks_seconds, self._have_new_keys
            )
        self._options: Options = {
            "require": ["exp", "sub", "aud"],
            "enforce_minimum_key_length": True,
        }

    def known(self, authorization: str) -> Identity | None:
        """Whose token it is, if it has been verified before and has not ended."""
        identity = self._tokens.get(authorization)
        return identity if identity is not None and identity.expires > time.time() else None

    async def identify(self, authorization: str) -> Identity:
        """Whose token it is; `authorization` is "Bearer …".

        Raises Unauthenticated (TOKEN_MISSING, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, TOKEN_INVALID,
        TOKEN_SUBJECT_INVALID), or Unavailable (KEYS_UNAVAILABLE) when the key that it names is
        not at hand and the key set cannot be read. Waits for a key set only if the token names a
        key that is not at hand.
        """
        token = _bearer_token(authorization)
        identity = self.known(_PREFIX + token)
        if identity is not None:
            return identity
        try:
            identity = self._verified(token)
        except _NoKeyError as missing:
            identity = await self._verified_with_fresh_keys(token, missing.keys)
        self._tokens.put(_PREFIX + token, identity)
        return identity

    def refusal(self, authorization: str) -> Unauthenticated | None:
        """Why a token that was verified once is not valid now, with the keys at hand; None if it
        is.
        """
        try:
            token = _bearer_token(authorization)
            if self.known(_PREFIX + token) is None:
                self._tokens.put(_PREFIX + token, self._verified(token))
        except Unauthenticated as refused:
            return refused
        except _NoKeyError:
            return _invalid("key")
        return None

    def _have_new_keys(self) -> None:
        self._tokens.clear()
        self._keys_changed()

    async def run(self) -> None:
        """Keeps the key set fresh, for ever; returns at once without LAUREL_AUTH_JWKS."""
        if self._keys is not None:
            await self._keys.run()

    async def _verified_with_fresh_keys(self, token: str, keys: KeyWatch) -> Identity:
        asked = keys.reads_begun
        while True:
            number = await keys.next_read()
            try:
                return self._verified(token)
            except _NoKeyError:
                # A read that had begun before may have come too early for a new key.
                if number > asked:
                    raise (_invalid("key") if keys.fresh else keys_unavailable()) from None

    def _verified(self, token: str) -> Identity:
        """Raises Unauthenticated or _NoKeyError."""
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError as error:
            raise _invalid(type(error).__name__) from None
        if not _REFUSED_HEADERS.isdisjoint(header):
            raise _invalid("header")
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == "HS256":
            claims = self._claims(token, algorithm, self._secrets)
        elif self._keys is not None and algorithm in key_set.ALGORITHMS:
            keys = self._keys.candidates(algorithm, key_id)
            claims = self._claims(token, algorithm, keys)
            if claims is None and (not keys or key_id is None):
                raise _NoKeyError(self._keys)
        else:
            raise _invalid("algorithm")
        if claims is None:
            raise _invalid("signature")
        settings = self._settings
        try:
            return identity_of(claims, settings.auth_roles_claim, settings.auth_leeway_seconds)
        except ValueError as error:
            raise _invalid(str(error)) from None

    def _claims(
        self, token: str, algorithm: str, keys: Sequence[str | PyJWK]
    ) -> dict[str, Any] | None:
        """The verified claims; None if none of the keys has signed them. Raises Unauthenticated."""
        for key in keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[algorithm],
                    audience=self._settings.auth_audience,
                    issuer=self._settings.auth_issuer or None,
                    leeway=self._settings.auth_leeway_seconds,
                    options=self._options,
                )
            except InvalidSignatureError:
                continue
            except ExpiredSignatureError:
                raise Unauthenticated("TOKEN_EXPIRED", "The token has expired.") from None
            except ImmatureSignatureError:
                raise Unauthenticated(
                    "TOKEN_NOT_YET_VALID", "The token is not valid yet."
                ) from None
            except PyJWTError as error:
                raise _invalid(type(error).__name__) from None
        return None


def _bearer_token(authorization: str) -> str:
    """The token, which is spelled as no other one that says the same."""
    scheme, _, token = authorization[: len(_PREFIX) + MAX_TOKEN_CHARS + 1].partition(" ")
    if scheme.lower() != "bearer" or not token.strip(" "):
        raise Unauthenticated(
            "TOKEN_MISSING", "The call needs a token: authorization: Bearer <token>."
        )
    if len(token) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(token):
        raise _invalid("form")
    return token


def _invalid(why: str) -> Unauthenticated:
    """The caller learns no more than that; `why` is for who looks for it in the log."""
    log.debug("token refused", why=why)
    return Unauthenticated("TOKEN_INVALID", "The token is not valid.")
