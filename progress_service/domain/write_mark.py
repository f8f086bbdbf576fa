"""What a consistency token names: the last change of a write.

An id alone is not enough: a database that is restored to the past gives the ids since then out
again. So a mark also has a fingerprint of what stands under the id and is not changed any more.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from progress_service.domain.request import fingerprint
from progress_service.domain.user import User

_CHARS = 16


class Kind(StrEnum):
    """What the id is of; in tokens and stored answers, so never renamed."""

    ENTRY = "e"
    PROFILE = "c"


class WriteMark(NamedTuple):
    """A ledger entry, or the change of a profile, that stands for a whole write."""

    kind: str
    id: int
    fingerprint: str


def entry_mark(entry_id: int, metric: str, amount: int, written: datetime) -> WriteMark:
    """The mark of a ledger entry; `written`: the time of its transaction, which no transaction
    after a restore has again. All of it survives an erasure of the user.
    """
    moment = written.astimezone(UTC).isoformat()
    print_ = fingerprint(metric, amount, moment)
    return WriteMark(Kind.ENTRY, entry_id, print_.hex()[:_CHARS])


def profile_mark(change_id: int, user: User) -> WriteMark:
    """The mark of a profile's change, of what the history keeps: all but the time zone."""
    print_ = fingerprint(user.user_id, user.display_name, user.avatar_url, user.hidden)
    return WriteMark(Kind.PROFILE, change_id, print_.hex()[:_CHARS])
