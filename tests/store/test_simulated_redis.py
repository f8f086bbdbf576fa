"""The model of Redis that the simulation uses does what the Lua scripts do in a real one."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leaderboard_service.changes import steps_of
from leaderboard_service.domain.answer import Position, TopAnswer
from leaderboard_service.domain.board import BoardNames, Floors, parse_board_name
from leaderboard_service.domain.question import TopAsk
from leaderboard_service.pace import go_on
from leaderboard_service.store.boards import (
    Advance,
    BoardWriter,
    Broken,
    FloorsRaised,
    GenerationGone,
    Meta,
    Moved,
    PartMeta,
)
from leaderboard_service.store.client import RedisLink, Run
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation, new_generation
from leaderboard_service.store.loader import GenerationLoader
from leaderboard_service.store.reads import BoardReads
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.rank_mode import RankMode
from tests.unit.simulation.history import HistoryDatabase
from tests.unit.simulation.network import Client, Command, NamedScript, as_command
from tests.unit.simulation.redis import SimulatedRedis
from tests.unit.simulation.world import FLOORS
from tests.unit.simulation.writer import Writer

ROUNDS = 60
REFUSALS = (Moved, FloorsRaised, GenerationGone, Broken)


class DirectLink:
    """Does at once what it is asked to."""

    def __init__(self, redis: SimulatedRedis) -> None:
        self.client = Client()
        self._redis = redis

    async def call(self, command: Command | list[Command], **_: object) -> Any:
        if isinstance(command, list):
            return [one.run(self._redis) for one in command]
        return command.run(self._redis)

    async def run(self, script: NamedScript, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return as_command(script, keys, args).run(self._redis)

    async def run_all(self, runs: Sequence[Run]) -> list[Any]:
        return [as_command(run.script, run.keys, run.args).run(self._redis) for run in runs]


class Side:
    """Everything on one of the two."""

    def __init__(self, link: RedisLink, generation: Generation) -> None:
        self.link = link
        self.generation = generation
        self.writer = BoardWriter(link)
        self.reads = BoardReads(link)
        self.generations = Generations(link)

    async def load(self, parts: int) -> Meta:
        loader = GenerationLoader(self.link, self.generation, go_on)
        return await loader.finish(PartMeta(Position("e1", 0), 0, 0, FLOORS[0]))


async def outcome(of: Awaitable[object]) -> object:
    """What came of it, as far as two can be compared."""
    try:
        found = await of
    except REFUSALS as refusal:
        return type(refusal).__name__, str(refusal)
    return found


async def contents(link: RedisLink) -> dict[str, object]:
    """Every key of a real Redis, as the model has them."""
    found: dict[str, object] = {}
    async for names in link.scan("laurel:{*"):
        for name in names:
            kind = await link.call(link.client.type(name))
            if kind == "zset":
                members = await link.call(link.client.zrange(name, 0, -1, withscores=True))
                found[name] = {user: int(score) for user, score in members}
            else:
                found[name] = await link.call(link.client.hgetall(name))
    return found


class Both:
    """A real Redis and the model of one, to which the same is done."""

    def __init__(self, real: Side, model: Side, redis: SimulatedRedis, seed: int) -> None:
        self.random = Random(seed)
        self._sides = (real, model)
        self._real = real
        self._redis = redis
        self._database = HistoryDatabase(lambda: 0.0)
        self._writer = Writer(self._database, self.random)
        self._meta: Meta | None = None

    async def do(self, act: Callable[[Side], Awaitable[object]]) -> object:
        """The outcome, which is the same on both sides, as are all keys then."""
        real, model = [await outcome(act(side)) for side in self._sides]
        assert real == model
        assert await contents(self._real.link) == self._redis.space
        return real

    async def load(self, parts: int) -> None:
        self._meta = cast("Meta", await self.do(lambda side: side.load(parts)))

    async def step(self) -> None:
        """Changes, which are refused when the position is another or keys are not as counted."""
        self._writer.write()
        self._writer.commit()
        while self._database.number("s", 1):
            await self._apply(self._database.lineage.changes[-1].change)

    async def _apply(self, change: pb.Change) -> None:
        before = self._known()
        steps = list(steps_of([change], BoardNames(before.floors)))
        step = steps[1] if len(steps) > 1 else steps[0]
        sequence = change.sequence
        advance = Advance(Position("e1", sequence), sequence, sequence)

        def apply(side: Side) -> Awaitable[Meta]:
            return side.writer.apply(side.generation, self._known(), step, advance)

        if self.random.random() < 0.3:
            await self._while_one_is_gone(apply)
            self._meta = await self._real.writer.meta(self._real.generation)
        if self._known().position.sequence < sequence:
            self._meta = cast("Meta", await self.do(apply))
            assert isinstance(self._meta, Meta)
        if self.random.random() < 0.2:
            now, self._meta = self._meta, before
            assert isinstance(await self.do(apply), tuple)
            self._meta = now

    def _known(self) -> Meta:
        assert self._meta is not None
        return self._meta

    async def _while_one_is_gone(self, act: Callable[[Side], Awaitable[object]]) -> None:
        name = self.random.choice(sorted(self._redis.space))
        value = self._redis.space.pop(name)
        link = self._real.link
        await link.call(link.client.rename(name, "aside"))
        try:
            real, model = [await outcome(act(side)) for side in self._sides]
            assert type(real) is type(model)
            if isinstance(real, tuple) and isinstance(model, tuple):
                assert real[0] == model[0]
        finally:
            self._redis.space[name] = value
            await link.call(link.client.rename("aside", name))

    async def confirm(self) -> None:
        def confirm(side: Side) -> Awaitable[Meta]:
            return side.writer.confirm(side.generation, self._known(), "e1", 10**6)

        found = await self.do(confirm)
        if isinstance(found, Meta):
            self._meta = found

    async def raise_floors(self) -> None:
        floors = self.random.choice(
            (FLOORS[1], Floors("2024", "2026-01", "2026-W47", "2026-11-20"))
        )
        await self.do(lambda side: side.writer.raise_floors(side.generation, floors))
        await self.do(lambda side: side.writer.prune_hidden(side.generation))
        self._meta = await self._real.writer.meta(self._real.generation)

    async def read(self) -> None:
        boards = sorted({"xp//all_time/", *self._database.lineage.states[-1].scores})
        board = parse_board_name(self.random.choice(boards))

        async def top(side: Side) -> object:
            question = TopAsk(board, RankMode.COMPETITION, 3)
            (answer,) = await side.reads.top(side.generation, [question])
            if not isinstance(answer, TopAnswer):
                return type(answer)
            return answer.total, answer.page.entries, answer.page.more, answer.stamp.position

        await self.do(top)

    async def meta(self) -> None:
        await self.do(lambda side: side.writer.meta(side.generation))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("seed", range(6))
async def test_the_model_of_redis_does_what_redis_does(
    redis_url: str, seed: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard_service.store.loader.time", SimpleNamespace(time_ns=lambda: 0))
    redis = SimulatedRedis(lambda: 0.0)
    link = RedisLink(redis_url, connections=4, timeout_s=10.0)
    try:
        generation = new_generation(parts)
        real = Side(link, generation)
        await real.generations.clear()
        for module in ("boards", "generations", "pruning", "reads"):
            monkeypatch.setattr(f"leaderboard_service.store.{module}.Script", NamedScript)
        model = Side(cast("RedisLink", DirectLink(redis)), generation)
        both = Both(real, model, redis, seed)
        await both.load(parts)
        acts = (both.step, both.step, both.step, both.read, both.confirm, both.meta)
        for number in range(ROUNDS):
            await both.random.choice(acts)()
            if number % 20 == 19:
                await both.raise_floors()
    finally:
        await link.close()
