"""A write's consistency_token makes each answer about boards include that write."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.embedded.redis import EmbeddedRedis
from shared.errors import FailedPrecondition, InvalidInput, LaurelError, Unavailable
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.leaderboard_app import POSTGRESQL, REDIS, dial, direct, running
from tests.pair import Pair
from tests.progress import Progress, eventually, refused
from tests.signing import SIGNER


@asynccontextmanager
async def _pair(redis_url: str, progress: Progress, **settings: Any) -> AsyncIterator[Pair]:
    async with running(redis_url, progress.target, **settings) as app, dial(app) as channel:
        yield Pair(channel, progress)


async def _scores(pair: Pair, user: str, token: str) -> list[tuple[int, int]]:
    """What the four questions say of a user's score, and from where."""
    asked: dict[str, Any] = {"consistency_token": token}
    top = await pair.boards.GetTop(pb.GetTopRequest(user_id=user, **asked))
    rank = await pair.boards.GetRank(pb.GetRankRequest(user_id=user, **asked))
    around = await pair.boards.GetAround(pb.GetAroundRequest(user_id=user, count=1, **asked))
    batch = await pair.boards.BatchGetRanks(pb.BatchGetRanksRequest(user_ids=[user], **asked))
    return [
        (top.user_entry.score, top.state.source),
        (rank.entry.score, rank.state.source),
        (around.entries[0].score if around.entries else 0, around.state.source),
        (batch.entries[0].score if batch.entries else 0, batch.state.source),
    ]


@pytest.mark.parametrize("parts", [1, 5])
async def test_every_answer_includes_the_write_at_once(
    progress: Progress, redis_url: str, parts: int
) -> None:
    await progress.put_users("ann")
    async with _pair(redis_url, progress, partitions=parts) as pair:
        await pair.settled()
        for number in range(1, 20):
            token = (await progress.award("ann", 1)).consistency_token
            assert await _scores(pair, "ann", token) == [(number, REDIS)] * 4


async def test_many_readers_of_one_write_all_see_it(progress: Progress, redis_url: str) -> None:
    await progress.put_users("ann")
    async with _pair(redis_url, progress) as pair:
        await pair.settled()
        for number in range(1, 6):
            token = (await progress.award("ann", 1)).consistency_token
            request = pb.GetRankRequest(user_id="ann", consistency_token=token)
            answers = await asyncio.gather(*(pair.boards.GetRank(request) for _ in range(50)))
            assert {answer.entry.score for answer in answers} == {number}


@pytest.mark.parametrize("parts", [1, 5])
async def test_an_erasure_sends_nobody_to_postgresql(
    progress: Progress, redis_url: str, parts: int
) -> None:
    """It begins a tenure; what was known in the one before goes on to be."""
    await progress.put_users("ann", "cem")
    await progress.award("cem", 1)
    # However slow the machine is: Redis is waited for.
    settings = {"partitions": parts, "fallback_limit": 1, "redis_timeout_s": 20}
    async with _pair(redis_url, progress, **settings) as pair:
        tokens = [(await progress.award("ann", 1)).consistency_token for _ in range(60)]
        await pair.settled()
        page_token = (await pair.boards.GetTop(pb.GetTopRequest(page_size=1))).next_page_token
        page = pb.GetTopRequest(page_size=1, page_token=page_token)

        async def sources() -> set[int]:
            ranks = (pb.GetRankRequest(user_id="ann", consistency_token=one) for one in tokens)
            asked: list[Any] = [pair.boards.GetRank(one) for one in ranks]
            asked += [pair.boards.GetTop(page) for _ in tokens]
            return {answer.state.source for answer in await asyncio.gather(*asked)}

        assert await sources() == {REDIS}
        for user in ("bob", "dee"):
            await progress.put_users(user)
            await progress.erase(user)
            await pair.settled()
            assert await sources() == {REDIS}


async def test_writes_are_seen_at_once_amid_erasures(progress: Progress, redis_url: str) -> None:
    """Each begins a tenure, perhaps between the look-up of a token and the answer."""
    erased = [f"e{number}" for number in range(40)]
    await progress.put_users("ann", *erased)
    async with _pair(redis_url, progress) as pair:
        await pair.settled()
        done = asyncio.Event()

        async def erase() -> None:
            for user in erased:
                await progress.erase(user)
            done.set()

        async def write_and_read() -> int:
            reads = 0
            while not done.is_set():
                written = await progress.award("ann", 1)
                request = pb.GetRankRequest(
                    user_id="ann", consistency_token=written.consistency_token
                )
                for _ in range(2):
                    assert (await pair.boards.GetRank(request)).entry.score >= written.total
                    reads += 1
            return reads

        readers = [asyncio.create_task(write_and_read()) for _ in range(6)]
        await erase()
        assert sum(await asyncio.gather(*readers)) > 60


async def test_a_write_that_is_not_numbered_is_not_visible_and_then_it_is(
    progress: Progress, redis_url: str
) -> None:
    await progress.put_users("ann")
    async with _pair(redis_url, progress) as pair:
        await pair.settled()
        async with progress.numbering_held():
            token = (await progress.award("ann", 3)).consistency_token
            request = pb.GetRankRequest(user_id="ann", consistency_token=token)
            async with refused(Unavailable, "WRITE_NOT_VISIBLE") as caught:
                await pair.boards.GetRank(request, timeout=10)
            assert caught[0].retry_delay_s
            waiting = asyncio.ensure_future(pair.boards.GetRank(request, timeout=10))
            plain = await pair.boards.GetRank(pb.GetRankRequest(user_id="ann"))
            assert not plain.HasField("entry")
        assert (await waiting).entry.score == 3


async def test_without_redis_postgresql_includes_the_write(
    progress: Progress, redis_server: EmbeddedRedis
) -> None:
    await progress.put_users("ann")
    async with _pair(redis_server.url(), progress) as pair:
        await pair.settled()
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            for number in range(1, 4):
                token = (await progress.award("ann", 1)).consistency_token
                assert await _scores(pair, "ann", token) == [(number, POSTGRESQL)] * 4
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)


async def test_boards_that_do_not_follow_are_not_asked_for_a_write_that_they_lack(
    progress: Progress, redis_url: str
) -> None:
    await progress.put_users("ann")
    async with _pair(redis_url, progress) as pair, direct(redis_url) as redis:
        await pair.settled()
        # Redis is full: it answers, and takes no change.
        await redis.config_set("maxmemory", 1)
        token = (await progress.award("ann", 7)).consistency_token
        assert await _scores(pair, "ann", token) == [(7, POSTGRESQL)] * 4
        await redis.config_set("maxmemory", 0)

        async def from_redis() -> bool:
            return await _scores(pair, "ann", token) == [(7, REDIS)] * 4

        await eventually(from_redis, "the boards have the write")


async def test_a_token_outlives_the_sequencers_tenure(progress: Progress, redis_url: str) -> None:
    await progress.put_users("ann")
    async with _pair(redis_url, progress) as pair:
        await pair.settled()
        token = (await progress.award("ann", 4)).consistency_token
        assert await _scores(pair, "ann", token) == [(4, REDIS)] * 4
        before = (await pair.boards.GetRank(pb.GetRankRequest(user_id="ann"))).state.position
        async with progress.sql() as sql:
            await sql.execute(
                "SELECT pg_terminate_backend(holder_pid) FROM history WHERE holder_pid IS NOT NULL"
            )
        await progress.award("ann", 1)
        await pair.settled()
        after = (await pair.boards.GetRank(pb.GetRankRequest(user_id="ann"))).state.position
        assert before.epoch != after.epoch

        async def from_redis() -> bool:
            return await _scores(pair, "ann", token) == [(5, REDIS)] * 4

        await eventually(from_redis, "the boards are read in the new tenure")


@pytest.mark.parametrize(
    ("token", "error", "reason"),
    [
        ("nonsense", InvalidInput, "INVALID_CONSISTENCY_TOKEN"),
        ("x" * 3000, InvalidInput, "INVALID_CONSISTENCY_TOKEN"),
        (SIGNER.sign("page", ["e", 1, "x"]), InvalidInput, "INVALID_CONSISTENCY_TOKEN"),
        (SIGNER.sign("write", ["e", 10**12, "x"]), FailedPrecondition, "EPOCH_MISMATCH"),
    ],
)
async def test_what_is_no_token_of_a_write_is_refused(
    progress: Progress, redis_url: str, token: str, error: type[LaurelError], reason: str
) -> None:
    async with _pair(redis_url, progress) as pair:
        await pair.settled()
        for call in (
            pair.boards.GetTop(pb.GetTopRequest(consistency_token=token)),
            pair.boards.GetRank(pb.GetRankRequest(user_id="a", consistency_token=token)),
            pair.boards.GetAround(pb.GetAroundRequest(user_id="a", consistency_token=token)),
            pair.boards.BatchGetRanks(pb.BatchGetRanksRequest(consistency_token=token)),
        ):
            async with refused(error, reason):
                await call
