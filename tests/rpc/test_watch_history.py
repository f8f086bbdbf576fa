"""Both services together: each message of a watch is what the history says at its position."""

import asyncio
import random
from typing import Any

import pytest

from leaderboard_service.watching.schedule import Rhythm
from shared.embedded.redis import EmbeddedRedis
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.history_fold import Folded, fold, name_of, watched
from tests.leaderboard_app import dial, running
from tests.pair import Pair
from tests.pair_acts import ago, award, hide, reset
from tests.progress import Progress, eventually

USERS = [f"u{number}" for number in range(8)]
WEEK = types_pb2.WINDOW_WEEK
QUICK = Rhythm(pace_s=0.01, poll_s=0.05, keep_alive_s=600)


class Watcher:
    """Keeps every message, and says what each must have shown."""

    def __init__(self, pair: Pair, user_id: str, **board: Any) -> None:
        asked = types_pb2.Board(**board)
        self.user_id = user_id
        self._call: Any = (
            pair.boards.WatchRank(pb.WatchRankRequest(board=asked, user_id=user_id))
            if user_id
            else pair.boards.WatchTop(pb.WatchTopRequest(board=asked, count=5))
        )
        self.messages: list[Any] = []

    async def read(self) -> None:
        async for message in self._call:
            self.messages.append(message)

    def shown(self, message: Any) -> list[tuple[int, str, int]]:
        entries = message.entries if not self.user_id else [message.entry]
        return [(one.rank, one.user_id, one.score) for one in entries if one.user_id]

    def due(self, folded: Folded) -> list[tuple[int, str, int]]:
        listed = folded.listed(name_of(self.messages[0].state.board))
        return [row for row in listed if row[1] == self.user_id] if self.user_id else listed[:5]

    def check(self, at: dict[int, Folded]) -> None:
        """Everything that was said was so when it was said, and in order."""
        sequences = [message.state.position.sequence for message in self.messages]
        assert sequences == sorted(sequences)
        before = 0
        for message in self.messages:
            assert self.shown(message) == self.due(at[message.state.position.sequence])
            if self.user_id:
                assert message.previous_rank == before
                before = message.entry.rank


async def _act(progress: Progress, chance: random.Random, times: int) -> None:
    """Things that change boards, one after the other."""
    entries: list[str] = []
    for _ in range(times):
        user, kind = chance.choice(USERS), chance.random()
        if kind < 0.7:
            when = ago(chance.choice([0, 0, 10]))
            entries.append(await award(progress, user, chance.randint(1, 9), occurred_time=when))
        elif kind < 0.8 and entries:
            await progress.revoke(entries.pop(chance.randrange(len(entries))))
        elif kind < 0.95:
            await hide(progress, user, hidden=chance.random() < 0.5)
        else:
            await reset(progress, window=chance.choice([types_pb2.WINDOW_ALL_TIME, WEEK]))


@pytest.mark.parametrize("partitions", [1, 16])
async def test_each_message_is_what_the_history_says_at_its_position(
    redis_server: EmbeddedRedis, progress: Progress, partitions: int
) -> None:
    url = redis_server.url()
    async with (
        running(url, progress.target, rhythm=QUICK, partitions=partitions) as app,
        dial(app) as channel,
    ):
        pair, chance = Pair(channel, progress), random.Random(3)
        await progress.put_users(*USERS)
        await pair.settled()
        watchers = [Watcher(pair, "", window=window) for window in (0, WEEK)]
        watchers += [Watcher(pair, user) for user in USERS]
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(watcher.read()) for watcher in watchers]
            await _act(progress, chance, 80)
            redis_server.kill()
            await _act(progress, chance, 80)
            await asyncio.to_thread(redis_server.start)
            await _act(progress, chance, 80)
            await pair.settled()
            head = await progress.settled()
            changes = await watched(progress, head.sequence)
            final = fold(changes)

            async def all_are_final() -> bool:
                return all(
                    watcher.messages and watcher.shown(watcher.messages[-1]) == watcher.due(final)
                    for watcher in watchers
                )

            await eventually(all_are_final, "each watcher ends on the final state")
            for read in reads:
                read.cancel()
    said = {m.state.position.sequence for watcher in watchers for m in watcher.messages}
    at = {sequence: fold(changes[:sequence]) for sequence in said}
    for watcher in watchers:
        watcher.check(at)
    sources = {message.state.source for watcher in watchers for message in watcher.messages}
    assert sources == {pb.SOURCE_REDIS, pb.SOURCE_POSTGRESQL}
