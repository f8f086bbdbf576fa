"""Questions about boards. Equal ones have equal answers at one position."""

from dataclasses import dataclass, field

from leaderboard_service.domain.board import Board
from shared.rank_mode import RankMode


@dataclass(frozen=True, slots=True)
class After:
    """Where a page begins: after this score and user, whether they still stand there or not.

    `epoch` and `sequence` are the position of the answer that ended there; within one history they
    make no other page.
    """

    score: int
    user_id: str
    epoch: str = field(default="", compare=False)
    sequence: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class RankAsk:
    """Where one user stands."""

    board: Board
    mode: RankMode
    user_id: str


@dataclass(frozen=True, slots=True)
class BatchAsk:
    """Where up to 500 users stand, each named once."""

    board: Board
    mode: RankMode
    user_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopAsk:
    """A page of up to 500 from the top or after an entry, and one user's entry besides, unless
    `user_id` is empty; `also` are boards whose scores each entry gets too.
    """

    board: Board
    mode: RankMode
    size: int
    after: After | None = None
    user_id: str = ""
    also: tuple[Board, ...] = ()


@dataclass(frozen=True, slots=True)
class AroundAsk:
    """Up to `count` (at most 500) entries with one user in the middle."""

    board: Board
    mode: RankMode
    user_id: str
    count: int


Ask = RankAsk | BatchAsk | TopAsk | AroundAsk
