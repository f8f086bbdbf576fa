"""What readers see of erasures, resets and corrections, from Redis and from PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.leaderboard_app import (
    POSTGRESQL,
    REDIS,
    Client,
    check_board,
    direct,
    eventually,
    fill,
    live_client,
)
from tests.leaderboard_history import board_message
from tests.leaderboard_peer import Peer

ALL_TIME = "xp//all_time/"
DAY = "xp//day/2026-11-20"


async def _filled() -> Peer:
    peer = Peer()
    await fill(peer)
    return peer


@pytest.fixture(params=[REDIS, POSTGRESQL], ids=["redis", "postgresql"])
async def client(
    request: pytest.FixtureRequest, redis_url: str
) -> AsyncIterator[tuple[Client, int]]:
    """A service whose answers come from the one store, or from the other."""
    async with live_client(redis_url, await _filled()) as found, direct(redis_url) as redis:
        if request.param == POSTGRESQL:
            found.peer.cut_snapshots = 10**6
            await redis.flushdb()
        yield found, request.param


async def _caught_up(client: Client, source: int) -> None:
    if source == REDIS:
        await client.live()


async def test_an_erased_user_is_no_longer_answered(client: tuple[Client, int]) -> None:
    found, source = client
    before = await found.boards.GetTop(pb.GetTopRequest(page_size=2))
    assert [entry.user_id for entry in before.entries] == ["f", "e"]
    await found.peer.erase("e")
    await _caught_up(found, source)
    top = await found.boards.GetTop(pb.GetTopRequest(page_size=2, user_id="e"))
    assert [(entry.rank, entry.user_id) for entry in top.entries] == [(1, "f"), (2, "d")]
    assert not top.HasField("user_entry")
    assert (top.state.total_users, top.state.source) == (5, source)
    # A list that was begun with the user goes on after the place where the user stood.
    token = before.next_page_token
    after = await found.boards.GetTop(pb.GetTopRequest(page_size=2, page_token=token))
    assert [(entry.rank, entry.user_id) for entry in after.entries] == [(2, "d"), (3, "c")]
    rank = await found.boards.GetRank(pb.GetRankRequest(user_id="e"))
    assert (rank.HasField("entry"), rank.state.total_users) == (False, 5)
    near = await found.boards.GetAround(pb.GetAroundRequest(user_id="e"))
    assert not near.entries
    batch = await found.boards.BatchGetRanks(pb.BatchGetRanksRequest(user_ids=["d", "e"]))
    assert [entry.user_id for entry in batch.entries] == ["d"]
    assert list(batch.unranked_user_ids) == ["e"]


async def test_a_reset_board_is_empty_and_the_others_are_not(client: tuple[Client, int]) -> None:
    found, source = client
    day = board_message(DAY)
    assert (await found.boards.GetTop(pb.GetTopRequest(board=day))).state.total_users == 6
    await found.peer.reset(DAY)
    await _caught_up(found, source)
    top = await found.boards.GetTop(pb.GetTopRequest(board=day))
    assert (len(top.entries), top.state.total_users, top.state.source) == (0, 0, source)
    await check_board(found, source=source)
    await found.peer.credit("a", 3)
    await _caught_up(found, source)
    rank = await found.boards.GetRank(pb.GetRankRequest(board=day, user_id="a"))
    assert (rank.entry.rank, rank.entry.score, rank.state.total_users) == (1, 3, 1)


async def test_a_corrected_score_is_answered(client: tuple[Client, int]) -> None:
    found, source = client
    await found.peer.correct(ALL_TIME, "a", 14)
    await found.peer.correct(ALL_TIME, "f", 0)
    await _caught_up(found, source)
    await check_board(found, source=source)
    rank = await found.boards.GetRank(pb.GetRankRequest(user_id="a"))
    assert (rank.entry.rank, rank.entry.score, rank.state.total_users) == (1, 14, 5)


async def test_an_erased_user_may_come_back_as_somebody_new(redis_url: str) -> None:
    async with live_client(redis_url, await _filled()) as client:
        await client.peer.erase("f")
        await client.peer.profile("f", "Another")
        await client.peer.credit("f", 1)
        await client.live()
        await check_board(client, source=REDIS)
        rank = await client.boards.GetRank(pb.GetRankRequest(user_id="f"))
        assert (rank.entry.display_name, rank.entry.score) == ("Another", 1)


async def test_what_was_redacted_while_a_follower_was_away_is_not_applied(redis_url: str) -> None:
    peer = await _filled()
    async with live_client(redis_url, peer):
        pass
    await peer.credit("e", 1000)
    await peer.profile("new", "New")
    await peer.credit("new", 50)
    await peer.erase("e")
    await peer.erase("new")
    await peer.credit("a", 1)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        assert peer.snapshots == 1
        await check_board(client, source=REDIS)
        (profiles,) = await redis.keys("*:profiles")
        assert set(await redis.hkeys(profiles)) == set("abcdf")


async def test_a_correction_for_somebody_redis_does_not_know_means_a_rebuild(
    redis_url: str,
) -> None:
    async with live_client(redis_url, await _filled()) as client:
        await client.peer.correct(ALL_TIME, "stranger", 99)

        async def rebuilt() -> bool:
            return client.peer.snapshots == 2

        await eventually(rebuilt)
        await client.live()
        await check_board(client, source=REDIS)
