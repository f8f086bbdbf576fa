"""Bounds of what may be stored; the contract's comments state the same numbers."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta

from shared import ids

MAX_SCORE = 2**53 - 1
"""The largest total: a Redis score is a double, exact up to here."""

ID_FORM = ids.ID_FORM
is_id = ids.is_id
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
# Embeddings, overrides and isolates turn the text around them, on any page that shows a name.
_BIDI_CONTROLS = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}

MAX_NAME_CHARS = 100
MAX_TITLE_CHARS = 200
MAX_URL_CHARS = 512
MAX_REFERENCE_CHARS = 128
MAX_REASON_CHARS = 500
MAX_QUESTIONS = 2**31 - 1
MAX_LEVELS = 5_000
MAX_TIME_SPENT = timedelta(days=366)
MAX_ZONE_CHANGES = 1_000
MAX_GRANT_DAYS = 366
MAX_FREEZES = 3_660
"""The most that a user may hold when more are granted."""

EARLIEST_TIME = datetime(2000, 1, 1, tzinfo=UTC)
EARLIEST_DAY = date(2000, 1, 1)
LATEST_AMNESTY_DAY = date(2100, 12, 31)
MAX_AHEAD = timedelta(minutes=5)
"""How far a device's clock may run ahead."""


def is_request_id(text: str) -> bool:
    """Whether `text` may be a request id: 1 to 128 printable ASCII characters, no spaces."""
    return _REQUEST_ID.fullmatch(text) is not None


def is_plain_text(text: str, max_chars: int) -> bool:
    """At most `max_chars` characters, none of them a control character, a line separator, or
    one that changes the direction of what follows.

    `str.isprintable` alone would also refuse what names are written with: joiners, wide
    spaces, and characters newer than this Python.
    """
    return len(text) <= max_chars and (
        text.isprintable()
        or not any(one in _BIDI_CONTROLS or unicodedata.category(one) in _CONTROLS for one in text)
    )
