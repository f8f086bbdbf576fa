"""What changes of the history mean to boards: the one translation of the contract's messages."""

from collections.abc import Iterable, Iterator

from leaderboard_service.domain.board import BoardNames, board_name
from leaderboard_service.domain.fold import (
    Correction,
    Erasure,
    Fold,
    Lone,
    Profile,
    Reset,
    Step,
)
from shared.gen.laurel.progress.v1.progress_pb2 import Change, XpDelta
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window


class UnknownChange(Exception):
    """A kind of change that this version does not know: skipping it would make boards wrong."""


def add_change(fold: Fold, change: Change) -> Lone | None:
    """Adds the change to the fold; the answer is what it does, when it stands alone instead.

    Raises UnknownChange.
    """
    match change.WhichOneof("kind"):
        case "xp_delta":
            delta = change.xp_delta
            fold.credit(
                delta.user_id,
                delta.amount,
                metric=delta.metric,
                course_id=delta.course_id,
                day=delta.occurred_date,
                windows=tuple(delta.windows),
                excluded=_excluded(delta) if delta.excluded_boards else frozenset(),
            )
        case "profile_change":
            profile = change.profile_change
            fold.profile(
                profile.user_id,
                Profile(profile.display_name, profile.avatar_url, profile.hidden),
            )
        case "redaction":
            pass
        case "user_erasure":
            return Erasure(change.user_erasure.user_id)
        case "window_reset":
            return Reset(name_of(change.window_reset.board))
        case "standing_correction":
            correction = change.standing_correction
            return Correction(name_of(correction.board), correction.user_id, correction.score)
        case kind:
            raise UnknownChange(f"change {change.sequence} is of kind {kind}")
    return None


def steps_of(changes: Iterable[Change], names: BoardNames) -> Iterator[Step]:
    """What consecutive changes come to, in as few steps as can be. Raises UnknownChange."""
    fold = Fold(names)
    for change in changes:
        lone = add_change(fold, change)
        if lone is not None:
            yield fold
            yield lone
            fold = Fold(names)
    yield fold


def _excluded(delta: XpDelta) -> frozenset[str]:
    return frozenset(map(name_of, delta.excluded_boards))


def name_of(board: types_pb2.Board) -> str:
    """The name of a board with its period spelled out."""
    return board_name(board.metric, board.course_id, Window(board.window), board.period)
