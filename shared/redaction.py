"""Takes secrets out of texts that others have written, such as the errors of libraries.

Nothing of ours puts a secret into a text. This is for what does not know that it holds one.
"""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from shared.settings import CommonSettings, split_secrets

HIDDEN = "[hidden]"
MIN_CHARS = 8
"""A shorter password may be a word that is everywhere, and is left."""

_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"
)
# Bounded, so that no text takes long.
_PASSWORD = re.compile(r"(://[^\s/:@]{0,100}):\S{0,300}@")


class Redaction:
    """Knows some secrets, and what a token (JWT) and a URL with a password look like."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        # A secret that contains another one goes first.
        self._secrets = sorted({one for one in secrets if len(one) >= MIN_CHARS}, key=len)[::-1]

    def hide(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        if "eyJ" in text:
            text = _TOKEN.sub(HIDDEN, text)
        if "://" in text:
            text = _PASSWORD.sub(rf"\1:{HIDDEN}@", text)
        return text


def secrets_of(settings: CommonSettings) -> Iterator[str]:
    """The secrets that settings hold, and the passwords of their URLs, as written and decoded."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield from split_secrets(value)
        elif isinstance(value, str) and "://" in value:
            yield from _passwords(value)


def _passwords(url: str) -> Iterator[str]:
    login, at, _ = urlsplit(url).netloc.rpartition("@")
    if at:
        password = login.partition(":")[2]
        yield password
        yield unquote(password)
