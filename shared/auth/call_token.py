"""The token that a process of this deployment calls others with."""

import time
from pathlib import Path

import structlog

from shared.auth.mint import minted
from shared.identity import Identity, Role
from shared.settings import CommonSettings, split_secrets

log = structlog.get_logger(__name__)

LIFE_S = 6 * 3600.0
"""A stream ends when its caller's token does, and a snapshot of everything must come to its end:
half of this is what a token has left at least.
"""
MAX_FILE_BYTES = 8_192
_RENEWED_AT = 0.5
_LOOK_EVERY_S = 1.0


class CallToken:
    """Gives the present `authorization` value, "Bearer …"; "" where the settings name no source.

    The token is that of LAUREL_CALL_TOKEN_FILE, or else one that is signed with LAUREL_AUTH_SECRET
    for `life_s` and renewed well before it ends. Cheap enough to be asked at every call.
    """

    def __init__(
        self, settings: CommonSettings, subject: str, role: Role, *, life_s: float = LIFE_S
    ) -> None:
        file = settings.call_token_file
        self._source = _TokenFile(file) if file else _Minter(settings, subject, role, life_s)

    def __call__(self) -> str:
        return self._source.present()


class _Minter:
    def __init__(self, settings: CommonSettings, subject: str, role: Role, life_s: float) -> None:
        self._settings = settings
        self._subject = subject
        self._role = role
        self._life_s = life_s
        self._value = ""
        self._minted = self._renew = 0.0

    def present(self) -> str:
        now = time.time()
        # The clock may have been set back: then the token at hand is from the future.
        if not self._minted <= now < self._renew:
            secret = self._settings.auth_secret
            if secret is None or not split_secrets(secret):
                return ""
            identity = Identity(self._subject, self._role, expires=now + self._life_s)
            self._value = f"Bearer {minted(self._settings, secret, identity)}"
            self._minted, self._renew = now, now + _RENEWED_AT * self._life_s
        return self._value


class _TokenFile:
    """What a file holds, looked at once a second; what it held before while it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value = ""
        self._look_again = 0.0
        self._known: tuple[int, int, int] | None = None
        self._trouble = ""

    def present(self) -> str:
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + _LOOK_EVERY_S
            try:
                self._look()
                self._trouble = ""
            except (OSError, ValueError) as error:
                self._say(error)
        return self._value

    def _look(self) -> None:
        status = self._path.stat()
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        if mark != self._known:
            self._value = f"Bearer {token_in(self._path)}"
            self._known = mark

    def _say(self, error: OSError | ValueError) -> None:
        trouble = (error.strerror if isinstance(error, OSError) else str(error)) or "unreadable"
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("LAUREL_CALL_TOKEN_FILE holds no token to call with", error=trouble)


def token_in(path: Path) -> str:
    """The token that a file holds. Raises OSError, or ValueError that tells nothing of it."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    token = content.strip()
    # grpc refuses a call whose metadata has anything else.
    if len(content) > MAX_FILE_BYTES or not token or not all(0x21 <= one <= 0x7E for one in token):
        raise ValueError("it does not hold one token")
    return token.decode("ascii")
