"""What the applier refuses before it asks Redis for anything."""

from typing import cast

import pytest

from leaderboard_service.applier import Applier, Gap, Target
from leaderboard_service.domain.answer import Position
from leaderboard_service.store.boards import BoardWriter, Meta, PartMeta
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
