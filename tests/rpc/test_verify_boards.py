"""VerifyBoards finds what is wrong in Redis, tells it once, and mends it on request."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leaderboard_service import comparison
from leaderboard_service.domain import groups
from leaderboard_service.store import checks
from shared.errors import (
    Unavailable,
)
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.board_damage import (
    DAY,
    Hand,
    beside_boards,
    board_of_another_type,
    foreign,
    hand,
    miscounted_board,
    miscounted_hidden,
    missing,
    moved_beside_the_board,
    on_boards,
    profiles_lost,
    uncounted_board,
    wrong_score,
)
from tests.leaderboard_app import live_client
from tests.leaderboard_peer import Peer
from tests.progress import refused
from tests.verify_boards import (
    ALL_TIME,
    COURSE,
    STANDINGS,
    TODAY,
    Mismatch,
    boards_are_right,
    scene,
    verify,
)

Damage = Callable[[Hand], Awaitable[list[Mismatch]]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board of the scene takes several, in one part."""
    monkeypatch.setattr(comparison, "CHUNK", 60)
    monkeypatch.setattr(checks, "CHUNK", 60)


@pytest.mark.parametrize("parts", [1, 4])
async def test_each_kind_of_damage_is_told_once_and_mended_on_request(
    redis_url: str, parts: int
) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, partitions=parts) as client, hand(redis_url) as spoiler:
        before = await verify(client.admin)
        assert before.mismatches == []
        assert before.last.standings_checked == before.last.standings_total == STANDINGS
        assert before.last.position == peer.position
        for damage in (on_boards, beside_boards, moved_beside_the_board):
            expected = sorted(await damage(spoiler))
            for repair in (False, True):
                found = await verify(client.admin, repair=repair)
                assert sorted(found.mismatches) == expected
                assert found.last.repaired == repair * len(expected)
        assert (await verify(client.admin)).mismatches == []
        for user in "hi":
            await peer.profile(user)
        await boards_are_right(client)
        assert await spoiler.redis.get("laurel:generation") == spoiler.generation.id


async def test_one_in_a_part_of_others_is_found_and_removed(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, partitions=4) as client, hand(redis_url) as spoiler:
        await spoiler.put(ALL_TIME, "a", 10, spoiler.other_part("a"))
        found = await verify(client.admin, repair=True)
        assert found.mismatches == [(ALL_TIME, "a", 0, 10)]
        assert (await verify(client.admin)).mismatches == []
        await boards_are_right(client)


async def test_small_groups_and_slices_of_large_boards_come_to_the_same(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SLICE_STANDINGS", 70)
    monkeypatch.setattr(groups, "GROUP_STANDINGS", 5)
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, partitions=4) as client, hand(redis_url) as spoiler:
        expected = sorted(await on_boards(spoiler))
        found = await verify(client.admin, repair=True)
        assert sorted(found.mismatches) == expected
        assert found.last.repaired == len(expected)
        assert (await verify(client.admin)).last.standings_checked == STANDINGS
        await boards_are_right(client)


async def test_named_boards_alone_are_compared(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client, hand(redis_url) as spoiler:
        expected = await wrong_score(spoiler) + await missing(spoiler)
        await foreign(spoiler)
        await peer.credit("a", 1, occurred_date="2020-01-01", metric="other")
        await client.live()
        found = await verify(client.admin, ALL_TIME, DAY, DAY, COURSE, "other//all_time/")
        assert {m[1] for m in found.mismatches} == {"a", "b", "nobody"}
        assert set(expected) < set(found.mismatches)
        assert found.last.standings_total == 2 * 200 + 2
        # Without a period the current one is meant.
        today = types_pb2.Board(window=types_pb2.WINDOW_DAY)
        call = client.admin.VerifyBoards(pb.VerifyBoardsRequest(boards=[today]))
        (mismatch,) = [one async for answer in call for one in answer.mismatches]
        assert mismatch.board == types_pb2.Board(
            metric="xp", window=types_pb2.WINDOW_DAY, period=TODAY
        )


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        (miscounted_board, False),
        (board_of_another_type, True),
        (uncounted_board, False),
        (miscounted_hidden, True),
        (profiles_lost, True),
    ],
)
async def test_what_cannot_be_mended_is_told_and_the_boards_are_rebuilt(
    redis_url: str, damage: Damage, repair: bool
) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client, hand(redis_url) as spoiler:
        expected = await damage(spoiler)
        call: Any = client.admin.VerifyBoards(pb.VerifyBoardsRequest(repair=repair))
        told: list[pb.BoardMismatch] = []
        async with refused(Unavailable, "BOARDS_REBUILDING"):
            async for answer in call:
                told += answer.mismatches
        assert [(one.user_id, one.expected, one.found) for one in told] == [
            one[1:] for one in expected
        ]
        await boards_are_right(client)
        assert (await verify(client.admin)).mismatches == []
        assert await spoiler.redis.get("laurel:generation") != spoiler.generation.id


async def test_a_profile_that_is_wrong_about_being_hidden_is_mended_by_a_rebuild(
    redis_url: str,
) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client, hand(redis_url) as spoiler:
        profiles = spoiler.part("h").profiles
        packed = str(await spoiler.redis.hget(profiles, "h"))
        await spoiler.redis.hset(profiles, "h", "s" + packed[1:])
        await spoiler.forget(ALL_TIME, "h")
        await spoiler.put(ALL_TIME, "h", 13)
        assert (await verify(client.admin)).mismatches == [(ALL_TIME, "h", 0, 13)]
        async with refused(Unavailable, "BOARDS_REBUILDING"):
            await verify(client.admin, repair=True)
        await boards_are_right(client)


@pytest.mark.parametrize("parts", [1, 4])
async def test_a_mended_board_is_read_as_mended_at_once(redis_url: str, parts: int) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, partitions=parts) as client, hand(redis_url) as spoiler:
        await spoiler.put(ALL_TIME, "a", 999)
        request = leaderboard_pb2.GetTopRequest(page_size=3)
        before = await client.boards.GetTop(request)
        assert before.entries[0].score == 999
        await verify(client.admin, repair=True)
        after = await client.boards.GetTop(request)
        assert [(e.user_id, e.score) for e in after.entries] == [
            (e.user_id, e.score) for e in peer.board(ALL_TIME)[:3]
        ]
        assert (before.state.position, before.state.source) == (
            after.state.position,
            after.state.source,
        )


async def test_who_watches_a_board_is_told_that_it_was_mended(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client, hand(redis_url) as spoiler:
        await spoiler.put(ALL_TIME, "a", 999)
        watch: Any = client.boards.WatchTop(leaderboard_pb2.WatchTopRequest(count=1))
        assert (await watch.read()).entries[0].user_id == "a"
        await verify(client.admin, repair=True)
        assert (await watch.read()).entries[0].user_id == "crowd-194"
        watch.cancel()


async def test_status_tells_what_verifications_have_come_to(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, partitions=4) as client, hand(redis_url) as spoiler:
        status = await client.status()
        assert status.partitions == 4
        assert not status.HasField("last_verify_time")
        await wrong_score(spoiler)
        await verify(client.admin)
        await verify(client.admin, repair=True)
        await verify(client.admin)
        status = await client.status()
        assert status.standings_verified == 3 * STANDINGS
        assert (status.mismatches_found, status.standings_repaired) == (2, 1)
        assert status.last_verify_mismatches == 0
        assert status.last_verify_time.seconds >= status.start_time.seconds
