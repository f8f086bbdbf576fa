"""VerifyBoards finds what is wrong in Redis, tells it once, and mends it on request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leaderboard_service import comparison, verification
from leaderboard_service.domain import groups
from leaderboard_service.store import checks
from shared.errors import (
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unavailable,
)
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.board_damage import Hand, hand
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

DAY = f"xp//day/{TODAY}"
MARKS = "marks/c/all_time/"
UNHEARD = "unheard//all_time/"


async def wrong_score(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "a", 99)
    return [(ALL_TIME, "a", 10, 99)]


async def too_low(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "crowd-3", 1)
    return [(ALL_TIME, "crowd-3", 18, 1)]


async def missing(hand: Hand) -> list[Mismatch]:
    await hand.remove(DAY, "b")
    return [(DAY, "b", 11, 0)]


async def foreign(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "nobody", 7)
    await hand.put(MARKS, "crowd-3", 5)
    return [(ALL_TIME, "nobody", 0, 7), (MARKS, "crowd-3", 0, 5)]


async def hidden_score(hand: Hand) -> list[Mismatch]:
    await hand.keep(ALL_TIME, "h", 1)
    await hand.keep(DAY, "i", 5)
    return [(ALL_TIME, "h", 13, 1), (DAY, "i", 14, 5)]


async def hidden_lost(hand: Hand) -> list[Mismatch]:
    await hand.forget(MARKS, "h")
    return [(MARKS, "h", 8, 0)]


async def hidden_on_the_board(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "i", 14)
    return [(ALL_TIME, "i", 0, 14)]


async def shown_beside_the_board(hand: Hand) -> list[Mismatch]:
    await hand.keep(ALL_TIME, "c", 12)
    return [(ALL_TIME, "c", 0, 12)]


async def moved_beside_the_board(hand: Hand) -> list[Mismatch]:
    await hand.remove(ALL_TIME, "c")
    await hand.keep(ALL_TIME, "c", 12)
    return [(ALL_TIME, "c", 0, 12)]


async def whole_board(hand: Hand) -> list[Mismatch]:
    await hand.drop(MARKS)
    return [(MARKS, user, 5 + number, 0) for number, user in enumerate("abc")]


async def unknown_board(hand: Hand) -> list[Mismatch]:
    await hand.put(UNHEARD, "a", 3)
    await hand.put(UNHEARD, "nobody", 4)
    return [(UNHEARD, "a", 0, 3), (UNHEARD, "nobody", 0, 4)]


async def on_boards(hand: Hand) -> list[Mismatch]:
    damage = [wrong_score, too_low, missing, foreign, hidden_score, unknown_board]
    return [one for do in damage for one in await do(hand)]


async def beside_boards(hand: Hand) -> list[Mismatch]:
    damage = [hidden_lost, hidden_on_the_board, shown_beside_the_board, whole_board]
    return [one for do in damage for one in await do(hand)]


Damage = Callable[[Hand], Awaitable[list[Mismatch]]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board of the scene takes several, in one part."""
    monkeypatch.setattr(comparison, "CHUNK", 30)
    monkeypatch.setattr(checks, "CHUNK", 30)


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


async def test_a_bad_list_of_boards_is_refused_by_field(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer, keep_years=1) as client:
        course = [types_pb2.Board(course_id=f"c{number}") for number in range(500)]
        answers = client.admin.VerifyBoards(pb.VerifyBoardsRequest(boards=course))
        assert [answer async for answer in answers][-1].complete
        day = types_pb2.WINDOW_DAY
        for boards, field in [
            ([*course, types_pb2.Board()], "boards"),
            ([types_pb2.Board(), types_pb2.Board(metric="/")], "boards[1].metric"),
            ([types_pb2.Board(course_id="ä")], "boards[0].course_id"),
            ([types_pb2.Board(window=9)], "boards[0].window"),  # type: ignore[arg-type]
            ([types_pb2.Board(window=day, period="2026")], "boards[0].period"),
            ([types_pb2.Board(), types_pb2.Board(window=day, period="2020-01-01")], "boards"),
        ]:
            async with refused(InvalidInput, "INVALID_FIELD") as errors:
                request = pb.VerifyBoardsRequest(boards=boards)
                _ = [answer async for answer in client.admin.VerifyBoards(request)]
            assert [violation.field for violation in errors[0].violations] == [field]


async def miscounted_board(hand: Hand) -> list[Mismatch]:
    await hand.redis.zrem(hand.part("b").board(ALL_TIME), "b")
    return [(ALL_TIME, "b", 11, 0)]


async def board_of_another_type(hand: Hand) -> list[Mismatch]:
    await hand.redis.set(hand.part("a").board(MARKS), "x")
    return [(MARKS, user, 5 + number, 0) for number, user in enumerate("abc")]


async def uncounted_board(hand: Hand) -> list[Mismatch]:
    await hand.redis.zadd(hand.part("a").board(UNHEARD), {"a": -3})
    return [(UNHEARD, "a", 0, 3)]


async def miscounted_hidden(hand: Hand) -> list[Mismatch]:
    await hand.redis.hdel(hand.part("h").hidden("h"), ALL_TIME)
    return [(ALL_TIME, "h", 13, 0)]


async def profiles_lost(hand: Hand) -> list[Mismatch]:
    await hand.redis.delete(hand.part("a").profiles)
    return []


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


async def test_so_much_damage_that_boards_are_to_be_rebuilt_ends_the_call(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MAX_MISMATCHES", 10)
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client, hand(redis_url) as spoiler:
        await spoiler.drop(DAY)
        async with refused(FailedPrecondition, "TOO_MANY_MISMATCHES"):
            await verify(client.admin)
        assert (await client.status()).mismatches_found > 10


async def test_beyond_two_verifications_at_once_callers_are_told_when_to_retry(
    redis_url: str,
) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client:
        goes_on = asyncio.Event()

        async def wait() -> None:
            await goes_on.wait()

        peer.during_snapshot = wait
        calls = {asyncio.create_task(verify(client.admin)) for _ in range(3)}
        done, others = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        async with refused(ResourceExhausted, "TOO_MANY_VERIFICATIONS") as errors:
            await done.pop()
        assert errors[0].retry_delay_s
        goes_on.set()
        assert [found.mismatches for found in await asyncio.gather(*others)] == [[], []]
        assert (await verify(client.admin)).mismatches == []


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
