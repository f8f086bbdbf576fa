"""What boards must hold by PostgreSQL: the other side of a comparison with Redis."""

import math
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from leaderboard_service.domain.fold import Correction, Erasure, Fold, Reset, Step
from leaderboard_service.domain.groups import Group

_INT64 = 2**63


class Kind(StrEnum):
    """How a standing in Redis is wrong."""

    SCORE = "score"
    """On the board with another score."""
    MISSING = "missing"
    """Not on the board."""
    EXTRA = "extra"
    """On the board, where there is no such standing."""
    HIDDEN = "hidden"
    """A hidden user's: on the board, or not kept beside it as it must be."""


@dataclass(frozen=True, slots=True)
class Due:
    """A user's standing on a board, 0 for none; `hidden` is None while that is not known."""

    score: int
    hidden: bool | None

    @property
    def on_board(self) -> int:
        """The score with which the user is on the board; 0: is not."""
        return 0 if self.hidden else self.score

    @property
    def kept(self) -> int:
        """The score that is kept beside the board; 0: none is."""
        return 0 if self.hidden is False else self.score


@dataclass(frozen=True, slots=True)
class Difference:
    """A standing in Redis that is not as it must be; scores are 0 for none."""

    kind: Kind
    board: str
    user_id: str
    expected: int
    found: int


class Expected:
    """The standings of a group of boards, hidden users' too, as of `sequence` in the history.

    Loaded from a snapshot, and moved along the history by the steps that boards in Redis take.
    Who is hidden is known of whoever had a standing in the snapshot or changed the profile since;
    of others, what Redis says is believed until the next comparison.
    """

    def __init__(self, group: Group) -> None:
        self.scores: dict[str, dict[str, int]] = {board: {} for board in group.boards}
        self.hidden: dict[str, bool] = {}
        self.sequence = 0
        self._holds = group.users.holds

    def load(self, board: str, user_id: str, score: int, *, hidden: bool) -> None:
        """Adds a standing of the snapshot, if it is of the group."""
        scores = self.scores.get(board)
        if scores is not None and self._holds(user_id):
            scores[user_id] = score
            self.hidden[user_id] = hidden

    def apply(self, step: Step) -> None:
        """Moves on by a step."""
        match step:
            case Fold():
                self._fold(step)
            case Erasure(user_id):
                self.hidden.pop(user_id, None)
                for scores in self.scores.values():
                    scores.pop(user_id, None)
            case Reset(board):
                self.scores.get(board, {}).clear()
            case Correction(board, user_id, score):
                if board in self.scores and self._holds(user_id):
                    self.scores[board][user_id] = score

    def _fold(self, fold: Fold) -> None:
        for board, amounts in fold.boards.items():
            scores = self.scores.get(board)
            if scores is None:
                continue
            for user_id, amount in amounts.items():
                if self._holds(user_id):
                    scores[user_id] = scores.get(user_id, 0) + amount
        for user_id, profile in fold.profiles.items():
            if self._holds(user_id):
                self.hidden[user_id] = profile.hidden

    def holds(self, user_id: str) -> bool:
        """Whether the user's standings are compared."""
        return self._holds(user_id)

    def due(self, board: str, user_id: str) -> Due:
        """The user's standing on a board of the group."""
        score = self.scores[board].get(user_id, 0)
        return Due(max(score, 0), self.hidden.get(user_id))

    def unseen(self, board: str, seen: Container[str]) -> list[str]:
        """Users with a standing on the board who are not among those seen."""
        return [
            user_id
            for user_id, score in self.scores[board].items()
            if score > 0 and user_id not in seen
        ]

    def listed(self, board: str, user_id: str, found: float) -> Difference | None:
        """What is wrong with one who is on the board with this score."""
        due = self.due(board, user_id)
        if due.on_board and found == due.on_board:
            return None
        kind = Kind.HIDDEN if due.hidden else Kind.SCORE if due.on_board else Kind.EXTRA
        return Difference(kind, board, user_id, due.on_board, _whole(found))

    def kept(self, board: str, user_id: str, found: float) -> Difference | None:
        """What is wrong with a score that is kept beside the board."""
        due = self.due(board, user_id)
        if due.kept and found == due.kept:
            return None
        return Difference(Kind.HIDDEN, board, user_id, due.kept, _whole(found))

    def looked_up(
        self, board: str, user_id: str, on_board: float, kept: float
    ) -> Difference | None:
        """What is wrong with one who was looked up in both places; 0: is not there."""
        due = self.due(board, user_id)
        hidden = due.hidden
        if hidden is None:
            hidden = bool(kept) and not on_board
        found = kept if hidden else on_board
        if found == due.score:
            return None
        if hidden:
            kind = Kind.HIDDEN
        elif not on_board:
            kind = Kind.MISSING
        else:
            kind = Kind.SCORE if due.score else Kind.EXTRA
        return Difference(kind, board, user_id, due.score, _whole(found))


def stranger(board: str, user_id: str, found: float) -> Difference:
    """What is wrong with one who is in a part of the board that is not the user's."""
    return Difference(Kind.EXTRA, board, user_id, 0, _whole(found))


def _whole(found: float) -> int:
    """As an int64: someone may have written anything."""
    return 0 if math.isnan(found) else int(max(-_INT64, min(found, _INT64 - 1024)))
