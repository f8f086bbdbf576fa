"""What the command line shows the services: a token, from wherever there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from shared.auth.call_token import CallToken, token_in
from shared.channels import no_token
from shared.embedded.secret_file import AUTH_SECRET
from shared.identity import Role
from shared.settings import CommonSettings, split_secrets

SUBJECT = "laurel-cli"
LIFE_S = 600.0
"""For calls that take seconds; a stream ends when its caller's token does, and takes more."""


def home_secret_file(settings: CommonSettings) -> Path:
    """Where `laurel up` keeps the secret that it has made."""
    return settings.home.expanduser().absolute() / AUTH_SECRET


def signing_secret(settings: CommonSettings) -> SecretStr:
    """LAUREL_AUTH_SECRET, or else the one that `laurel up` keeps in its home.

    Raises OSError when there is neither.
    """
    given = settings.auth_secret
    if given is not None and split_secrets(given):
        return given
    return SecretStr(home_secret_file(settings).read_text(encoding="ascii").strip())


def call_token(
    settings: CommonSettings,
    subject: str = SUBJECT,
    role: Role = Role.ADMIN,
    *,
    life_s: float = LIFE_S,
) -> Callable[[], str]:
    """The `authorization` of this process's calls: the token of LAUREL_CALL_TOKEN_FILE, one that
    is signed here for `life_s`, or "" where there is no secret.

    Raises OSError or ValueError when LAUREL_CALL_TOKEN_FILE holds no token.
    """
    if settings.call_token_file is not None:
        authorization = f"Bearer {token_in(settings.call_token_file)}"
        return lambda: authorization
    try:
        secret = signing_secret(settings)
    except OSError:
        return no_token
    signing = settings.model_copy(update={"auth_secret": secret})
    return CallToken(signing, subject, role, life_s=life_s)


def advice(settings: CommonSettings) -> str:
    """A sentence for someone whose call was refused as UNAUTHENTICATED."""
    if settings.call_token_file is not None:
        return "The token came from LAUREL_CALL_TOKEN_FILE"
    if split_secrets(settings.auth_secret):
        return "The token was signed with LAUREL_AUTH_SECRET"
    file = home_secret_file(settings)
    try:
        signing_secret(settings)
    except OSError as error:
        return (
            "Set LAUREL_AUTH_SECRET or LAUREL_CALL_TOKEN_FILE, or LAUREL_HOME to the home of the "
            f"stack that runs (no secret at {file}: {error.strerror})"
        )
    return f"The token was signed with {file}"
