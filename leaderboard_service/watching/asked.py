"""Boards as watchers ask for them."""

from dataclasses import dataclass
from datetime import date

from leaderboard_service.domain.board import Board
from shared.periods import period_of


@dataclass(frozen=True, slots=True)
class Asked:
    """A board; one that `moves_on` was asked for without a period: always the current one."""

    board: Board
    moves_on: bool

    @property
    def key(self) -> str:
        """The same for all who ask for the same."""
        return current_key(self.board.name) if self.moves_on else self.board.name

    def on(self, today: date) -> Board:
        """The board that is meant on that civil date."""
        board = self.board
        if not self.moves_on:
            return board
        return Board(board.metric, board.course_id, board.window, period_of(board.window, today))


def current_key(name: str) -> str:
    """The key of those who ask for the current period of the board of that name, whichever it is.

    It ends with a slash; so does the name of an ALL_TIME board alone, and that never moves on.
    """
    return name[: name.rindex("/") + 1]
