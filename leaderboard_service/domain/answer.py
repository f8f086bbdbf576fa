"""Answers about boards, the same from Redis and from PostgreSQL.

What is made for each entry and each answer is a named tuple: it is made in a third of the time.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

MAX_SCORE = 2**53 - 1
"""Scores are stored as doubles in Redis: up to here each integer is exact."""


class Source(IntEnum):
    """Which store an answer comes from, with the contract's numbers."""

    REDIS = 1
    POSTGRESQL = 2


@dataclass(frozen=True, slots=True)
class Position:
    """A point in the history: everything up to `sequence`, as numbered in tenure `epoch`."""

    epoch: str
    sequence: int


@dataclass(frozen=True, eq=False)
class Stamp:
    """What an answer reflects. Times are microseconds since 1970 in UTC, 0 when not known.

    Answers of one read share one stamp, so it is compared by identity.
    """

    source: Source
    position: Position
    numbered_us: int
    """When the change at `position` was numbered."""
    confirmed_us: int
    """When `position` was last known to be the newest."""


class Entry(NamedTuple):
    """One line of a board."""

    rank: int
    user_id: str
    score: int
    display_name: str
    avatar_url: str
    also_scores: tuple[int, ...] = ()
    """The user's scores on the boards that were asked for besides, in that order; 0 for none."""


@dataclass(slots=True, eq=False)
class Page:
    """Consecutive entries of a board, best first."""

    entries: tuple[Entry, ...]
    more: bool
    """Whether the board goes on after the last entry."""
    encoded: bytes | None = field(default=None)
    """Room for the one who sends it to keep its encoded form, since pages are shared."""


class TopAnswer(NamedTuple):
    """A page of a board; `user` is the entry that was asked for besides, if on the board."""

    stamp: Stamp
    total: int
    page: Page
    user: Entry | None


class RankAnswer(NamedTuple):
    """Where one user stands; `entry` is None for one who is not on the board."""

    stamp: Stamp
    total: int
    entry: Entry | None
    users_below: int
    """Users with a lower score."""
    score_to_next_rank: int
    """What is missing to the next higher score; 0 for the leader."""


class ListAnswer(NamedTuple):
    """Some entries of a board, best first: those around a user, or those of a batch."""

    stamp: Stamp
    total: int
    entries: tuple[Entry, ...]
