"""A board as it follows from the history at a position: what every answer about it must be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from shared.gen.laurel.types.v1 import types_pb2
from tests.board_readers import Row, in_mode
from tests.faults.timeline import Life
from tests.history_fold import BoardName, Folded, boards_of, name_of

Line = tuple[int, str, int, str, str]
"""Rank, user, score, the name that is shown, picture."""


def listed(scores: Mapping[str, int], profiles: Mapping[str, Any]) -> list[Row]:
    """Everyone who is on the board, best first, in competition ranks."""
    ranked = sorted(
        (-score, user_id)
        for user_id, score in scores.items()
        if score > 0 and user_id in profiles and not profiles[user_id].hidden
    )
    rows: list[Row] = []
    for place, (below, user_id) in enumerate(ranked, 1):
        rank = rows[-1][0] if rows and rows[-1][2] == -below else place
        rows.append((rank, user_id, -below))
    return rows


@dataclass(frozen=True)
class View:
    """One board at one position. `rows` are in competition ranks; `folded` has all the rest."""

    board: BoardName
    rows: list[Row]
    profiles: Mapping[str, Any]
    folded: Folded

    def lines(self, mode: int = 0) -> list[Line]:
        """The board as it is shown."""
        return [
            (
                rank,
                user_id,
                score,
                self.profiles[user_id].display_name or user_id,
                self.profiles[user_id].avatar_url,
            )
            for rank, user_id, score in in_mode(self.rows, mode)
        ]

    def line(self, user_id: str, mode: int = 0) -> list[Line]:
        """The user's line; none for one who is not on the board."""
        return [line for line in self.lines(mode) if line[1] == user_id]

    def below(self, user_id: str) -> int:
        """Users with a lower score."""
        score = self._score(user_id)
        return sum(1 for _, _, other in self.rows if other < score)

    def to_next(self, user_id: str) -> int:
        """What reaches the next higher score."""
        score = self._score(user_id)
        return min((other - score for _, _, other in self.rows if other > score), default=0)

    def _score(self, user_id: str) -> int:
        return next(score for _, other, score in self.rows if other == user_id)

    def periods_of(self, board: types_pb2.Board) -> list[BoardName]:
        """The boards that one without a period can mean, whatever day the service thinks it is;
        that of a day on which nothing was counted is among them.
        """
        metric, course_id, window, period = spelled_out(board)
        if period or window == types_pb2.WINDOW_ALL_TIME:
            return [(metric, course_id, window, period)]
        known = [name for name in self.folded.scores if name[:3] == (metric, course_id, window)]
        return [*known, (metric, course_id, window, "-")]


def spelled_out(board: types_pb2.Board) -> BoardName:
    """A board's name with the defaults of the contract; the period as it is."""
    return (
        board.metric or "xp",
        board.course_id,
        board.window or types_pb2.WINDOW_ALL_TIME,
        board.period,
    )


@dataclass
class Cursor:
    """Folds a life's history forward, and shows boards where it stands."""

    life: Life
    folded: Folded = field(default_factory=Folded)
    _rows: dict[BoardName, list[Row]] = field(default_factory=dict)

    def move(self, sequence: int) -> None:
        """On to a sequence that is not before the last; raises ValueError past what is known."""
        if sequence > len(self.life.changes):
            raise ValueError(f"the history is not known up to {sequence}")
        while self.folded.sequence < sequence:
            self._rows.clear()
            self.folded.apply(self.life.changes[self.folded.sequence])

    def view(self, board: BoardName) -> View:
        """The board where the cursor stands."""
        rows = self._rows.get(board)
        if rows is None:
            rows = listed(self.folded.scores.get(board, {}), self.folded.profiles)
            self._rows[board] = rows
        return View(board, rows, self.folded.profiles, self.folded)

    def others(self, board: BoardName, users: list[str]) -> Iterator[View]:
        """The board as whoever followed late may have it: of some of these users, who are erased
        afterwards, the changes from some point on were redacted when it read them.
        """
        told = [self._told(board, user_id) for user_id in users]
        scores, profiles = self.folded.scores.get(board, {}), self.folded.profiles
        points = sorted({state[0] for states in told for state in states}, reverse=True)
        for point in points:
            choices = [{len(states) - 1, _as_of(states, point)} for states in told]
            for chosen in product(*choices):
                mixed, shown = dict(scores), dict(profiles)
                for user_id, states, number in zip(users, told, chosen, strict=True):
                    _, mixed[user_id], profile = states[number]
                    shown.pop(user_id, None)
                    if profile is not None:
                        shown[user_id] = profile
                yield View(board, listed(mixed, shown), shown, self.folded)

    def _told(self, board: BoardName, user_id: str) -> list[tuple[int, int, Any]]:
        """What was known of the user from which change on: the score on the board, the profile."""
        states: list[tuple[int, int, Any]] = [(0, 0, None)]
        for change in self.life.changes[: self.folded.sequence]:
            _, score, profile = states[-1]
            at = change.sequence
            match change.WhichOneof("kind"):
                case "xp_delta" if change.xp_delta.user_id == user_id:
                    if board in boards_of(change.xp_delta):
                        states.append((at, score + change.xp_delta.amount, profile))
                case "profile_change" if change.profile_change.user_id == user_id:
                    states.append((at, score, change.profile_change))
                case "user_erasure" if change.user_erasure.user_id == user_id:
                    states = [(0, 0, None)]
                case "standing_correction" if change.standing_correction.user_id == user_id:
                    if name_of(change.standing_correction.board) == board:
                        states.append((at, change.standing_correction.score, profile))
                case "window_reset" if name_of(change.window_reset.board) == board:
                    states = [(since, 0, profile) for since, _, profile in states]
        return states


def _as_of(states: list[tuple[int, int, Any]], point: int) -> int:
    """The number of the last state that was there at that sequence."""
    return max(number for number, state in enumerate(states) if state[0] <= point)
