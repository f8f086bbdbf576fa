"""What the applier refuses before it asks Redis for anything."""

from typing import cast

import pytest

from leaderboard_service.applier import Applier, Gap, Target
from leaderboard_service.domain.answer import Position
from leaderboard_service.store.boards import BoardWriter, Meta, Moved, PartMeta
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import new_generation
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_store import FLOORS


def _applier(sequence: int) -> Applier:
    """Of a Redis that must not be asked."""
    target = Target(cast("BoardWriter", None), cast("Generations", None), max_scores=10)
    meta = Meta((PartMeta(Position("e", sequence), 0, 0, FLOORS),))
    return Applier(target, new_generation(), meta)


def _message(*sequences: int) -> pb.WatchXpDeltasResponse:
    return pb.WatchXpDeltasResponse(
        changes=[pb.Change(sequence=one, redaction=pb.Redaction()) for one in sequences],
        through=types_pb2.Position(epoch="e", sequence=sequences[-1]),
        head_sequence=sequences[-1],
    )


@pytest.mark.parametrize("sequences", [(5, 6), (4, 6), (4, 5, 7), (3, 4, 6)])
async def test_changes_that_do_not_follow_on_each_other_or_on_the_position_are_refused(
    sequences: tuple[int, ...],
) -> None:
    with pytest.raises(Gap):
        await _applier(3).take(_message(*sequences))


@pytest.mark.parametrize("sequences", [(2, 3), (2, 3, 4), (3, 4, 5)])
async def test_what_another_has_applied_in_another_tenure_is_not_taken_for_what_comes(
    sequences: tuple[int, ...],
) -> None:
    message = _message(*sequences)
    message.through.epoch = "f"
    with pytest.raises(Moved):
        await _applier(3).take(message)


async def test_nor_is_a_checkpoint_of_another_tenure_that_is_behind() -> None:
    through = types_pb2.Position(epoch="f", sequence=2)
    with pytest.raises(Moved):
        await _applier(3).take(pb.WatchXpDeltasResponse(through=through, head_sequence=2))


@pytest.mark.parametrize(
    ("sequences", "goes_on"), [((4, 5), True), ((3, 4), False), ((5, 6), False)]
)
async def test_a_message_goes_on_where_it_begins_after_the_position(
    sequences: tuple[int, ...], *, goes_on: bool
) -> None:
    assert _applier(3).goes_on_with(_message(*sequences)) is goes_on
