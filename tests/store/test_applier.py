"""What the applier makes of boards whose floors were raised, when more has happened to them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leaderboard_service.applier import Applier, Target
from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Floors
from leaderboard_service.store.boards import GenerationGone, Moved
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_store import EPOCH, Stores, open_stores

HIGHER = Floors("2025", "2025-11", "2026-W39", "2026-10-18")
CHANGE = pb.WatchXpDeltasResponse(
    changes=[pb.Change(sequence=1, redaction=pb.Redaction())],
    through=types_pb2.Position(epoch=EPOCH, sequence=1),
    head_sequence=1,
)


async def _nothing(_stores: Stores) -> None:
    pass


async def _go_another_way(stores: Stores) -> None:
    client: Any = stores.link.client
    await client.hset(stores.generation.parts[1].meta, mapping={"epoch": "other"})


async def _lose_a_part(stores: Stores) -> None:
    await stores.link.unlink([stores.generation.parts[1].meta])


async def _take_behind_raised_floors(
    stores: Stores, happen: Callable[[Stores], Awaitable[None]]
) -> None:
    """By an applier that knows neither of the new floors nor of what happened besides."""
    target = Target(stores.writer, stores.generations, max_scores=10)
    applier = Applier(target, stores.generation, stores.meta, read=False)
    await stores.writer.raise_floors(stores.generation, HIGHER)
    await happen(stores)
    await applier.take(CHANGE)


async def test_floors_that_were_raised_are_no_reason_to_stop(redis_url: str) -> None:
    async with open_stores(redis_url, parts=2) as stores:
        await _take_behind_raised_floors(stores, _nothing)
        meta = await stores.writer.meta(stores.generation)
        assert meta is not None
        assert (meta.position, meta.floors) == (Position(EPOCH, 1), HIGHER)


async def test_a_part_of_another_history_behind_raised_floors_has_moved(redis_url: str) -> None:
    async with open_stores(redis_url, parts=2) as stores:
        with pytest.raises(Moved):
            await _take_behind_raised_floors(stores, _go_another_way)


async def test_a_part_that_is_lost_behind_raised_floors_is_gone(redis_url: str) -> None:
    async with open_stores(redis_url, parts=2) as stores:
        with pytest.raises(GenerationGone):
            await _take_behind_raised_floors(stores, _lose_a_part)
