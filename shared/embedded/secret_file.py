"""A random secret that is made once and kept in a file which only its owner may read."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

AUTH_SECRET = "auth-secret"  # noqa: S105 - the file's name
TOKEN_SECRET = "token-secret"  # noqa: S105 - as above


def kept_secret(path: Path) -> str:
    """What the file holds; 64 hexadecimal digits when there was none, written whole or not at all.

    The caller holds the folder alone. Raises OSError.
    """
    with suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    secret = secrets.token_hex(32)
    # mkstemp's file has mode 0600 from the start.
    number, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    written = Path(name)
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(number)
        written.replace(path)
    except BaseException:
        written.unlink()
        raise
    return secret
