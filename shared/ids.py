"""The form of ids: of users (and so of callers), courses, sections, levels, metrics, sources."""

import re

ID_FORM = "1 to 64 of A-Z a-z 0-9 . _ : -"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def is_id(text: str) -> bool:
    """Whether `text` may be an id."""
    return _ID.fullmatch(text) is not None
