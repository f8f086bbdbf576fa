"""Who a token is about: the names that callers go by."""

import re

SUBJECT_FORM = "1 to 64 of A-Z a-z 0-9 . _ : -"
_SUBJECT = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def is_subject(text: str) -> bool:
    """Whether `text` may be the `sub` of a token: the form of user ids, since a user's is one."""
    return _SUBJECT.fullmatch(text) is not None
