"""A real Redis and the stores on it, for the tests of LeaderboardService."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Board, BoardNames, Floors
from leaderboard_service.domain.fold import Fold, Profile, Step
from leaderboard_service.pace import go_on
from leaderboard_service.store import keys
from leaderboard_service.store.boards import Advance, BoardWriter, Meta, PartMeta
from leaderboard_service.store.client import RedisLink
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation, new_generation
from leaderboard_service.store.loader import GenerationLoader
from leaderboard_service.store.reads import BoardReads
from shared.periods import Window

FLOORS = Floors("2024", "2025-10", "2026-W38", "2026-10-17")
XP = Board("xp", "", Window.ALL_TIME, "")
EPOCH = "7e1f5a3c-0d2b-4c8e-9f61-3b7a2e8d4c10"


@dataclass
class Stores:
    """Everything on one Redis, and a generation that is loaded and read."""

    link: RedisLink
    writer: BoardWriter
    reads: BoardReads
    generations: Generations
    generation: Generation
    meta: Meta

    async def apply(self, step: Step, sequence: int | None = None) -> None:
        """Takes a step that leads one further, or to `sequence`."""
        to = self.meta.position.sequence + 1 if sequence is None else sequence
        self.meta = await self.writer.apply(
            self.generation, self.meta, step, Advance(Position(EPOCH, to), to * 10, to * 10)
        )


def new_fold(floors: Floors = FLOORS) -> Fold:
    return Fold(BoardNames(floors))


def credit(fold: Fold, user: str, amount: int, day: str = "2026-11-20", course: str = "") -> None:
    fold.credit(user, amount, metric="xp", course_id=course, day=day)


def scores_fold(scores: Sequence[tuple[str, int]]) -> Fold:
    """Credits on the all-time board alone."""
    fold = new_fold()
    for user, amount in scores:
        fold.credit(
            user, amount, metric="xp", course_id="", day="2026-11-20", windows=(Window.ALL_TIME,)
        )
    return fold


def shown(name: str = "", avatar: str = "") -> Profile:
    return Profile(name, avatar, hidden=False)


def hidden(name: str = "") -> Profile:
    return Profile(name, "", hidden=True)


@asynccontextmanager
async def open_stores(url: str, parts: int = 1) -> AsyncIterator[Stores]:
    """Stores on an emptied Redis with an empty generation of so many parts at position 0."""
    link = RedisLink(url, connections=4, timeout_s=10.0)
    try:
        generations = Generations(link)
        await generations.clear()
        generation = new_generation(parts)
        await GenerationLoader(link, generation, go_on).finish(
            PartMeta(Position(EPOCH, 0), 0, 0, FLOORS)
        )
        await generations.publish(generation)
        writer = BoardWriter(link)
        meta = await writer.meta(generation)
        assert meta is not None
        yield Stores(link, writer, BoardReads(link), generations, generation, meta)
    finally:
        await link.close()


async def contents(stores: Stores) -> dict[str, dict[str, Any]]:
    """What the keys of the generation but meta hold, by their names there; of boards and profiles
    all parts together, each of which has its own users alone.
    """
    found: dict[str, dict[str, Any]] = {}
    for number in range(len(stores.generation.parts)):
        for name, members in (await _part_contents(stores, number)).items():
            user_of = name.removeprefix("hidden:")
            for user in members if user_of == name else [user_of]:
                assert stores.generation.part_of(user) == number
            found.setdefault(name, {}).update(members)
    return found


async def _part_contents(stores: Stores, number: int) -> dict[str, dict[str, Any]]:
    client: Any = stores.link.client
    start = stores.generation.parts[number].meta.removesuffix("meta")
    found: dict[str, dict[str, Any]] = {}
    async for keys_ in stores.link.scan(f"{start}*"):
        for key in keys_:
            if await client.type(key) == "zset":
                members = await client.zrange(key, 0, -1, withscores=True)
            else:
                members = await client.hgetall(key)
            found[key.removeprefix(start)] = dict(members)
    found.pop("meta", None)
    return found


async def check_counts(stores: Stores) -> None:
    """What each part's meta counts is what is there, no more and no less."""
    client: Any = stores.link.client
    for number, part in enumerate(stores.generation.parts):
        meta = await client.hgetall(part.meta)
        found = await _part_contents(stores, number)
        assert int(meta["profiles"]) == len(found.pop("profiles", {}))
        marks = {"board": keys.MEMBERS, "hidden": keys.HIDDEN}
        there = {}
        for key, members in found.items():
            kind, _, name = key.partition(":")
            there[marks[kind] + name] = len(members)
        counted = {
            name: int(count)
            for name, count in meta.items()
            if name.startswith(tuple(marks.values()))
        }
        assert counted == there
