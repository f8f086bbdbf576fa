"""Page tokens of boards, the same in both services: a list begun on one store goes on on the other.

A token is bound to its board and rank mode and says after whom to go on:
base64url, without padding, of the JSON array [2, "<metric>/<course>/<window>/<period>",
rank mode, epoch, score, user_id]. The epoch is that of the answer which the token came with:
a token outlives tenures of the sequencer, but it is of one history.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass

from shared.errors import FieldViolation, InvalidInput

_VERSION = 2
_MAX_LENGTH = 1024
_MAX_SCORE = 2**53 - 1
_USER_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_EPOCH = re.compile(r"[A-Za-z0-9._:-]{0,64}")


@dataclass(frozen=True, slots=True)
class PageToken:
    """After whom the next page begins; `epoch` says in which history."""

    epoch: str
    score: int
    user_id: str


def encode(board: str, rank_mode: int, last: PageToken) -> str:
    """The token of the page after `last`; `board` is its full name."""
    parts = [_VERSION, board, rank_mode, last.epoch, last.score, last.user_id]
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode(token: str, board: str, rank_mode: int) -> PageToken:
    """What `encode` was given. Raises InvalidInput (INVALID_PAGE_TOKEN) for anything else, and
    for a token of another board or rank mode. The epoch is for the caller to judge.
    """
    parts = _parts(token)
    if len(parts) != 6 or parts[0] != _VERSION:
        raise _invalid("is not a page token of this service")
    _, of_board, of_mode, epoch, score, user_id = parts
    if of_board != board or of_mode != rank_mode:
        raise _invalid("belongs to another board or rank mode")
    if type(score) is not int or not 1 <= score <= _MAX_SCORE:
        raise _invalid("is not a page token of this service")
    if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
        raise _invalid("is not a page token of this service")
    if not isinstance(epoch, str) or not _EPOCH.fullmatch(epoch):
        raise _invalid("is not a page token of this service")
    return PageToken(epoch, score, user_id)


def of_another_history() -> InvalidInput:
    """The error (INVALID_PAGE_TOKEN) about a token whose epoch is not of this history."""
    return _invalid("belongs to another history: begin at the first page")


def _parts(token: str) -> list[object]:
    if len(token) > _MAX_LENGTH or not token.isascii():
        raise _invalid("is not a page token of this service")
    try:
        padded = token + "=" * (-len(token) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("is not a page token of this service") from None
    return parts if isinstance(parts, list) else []


def _invalid(description: str) -> InvalidInput:
    return InvalidInput(
        "INVALID_PAGE_TOKEN",
        f"page_token {description}",
        violations=(FieldViolation("page_token", description),),
    )
