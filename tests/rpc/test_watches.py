"""WatchTop and WatchRank: what is said, and when."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from leaderboard_service.watching.schedule import Rhythm
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.civil_clock import Clock
from tests.leaderboard_app import POSTGRESQL, fill
from tests.leaderboard_peer import Peer
from tests.watchers import TOLD, Scene, Watcher, rows, watched

ALL_TIME = "xp//all_time/"
DAY = types_pb2.WINDOW_DAY


async def _filled() -> Peer:
    """Users a to f with 10 to 15."""
    peer = Peer()
    await fill(peer)
    return peer


def _board(scene: Scene, count: int = 10) -> list[tuple[int, str, int]]:
    return [(e.rank, e.user_id, e.score) for e in scene.peer.board(ALL_TIME)[:count]]


async def test_the_first_message_is_the_present_top(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        first = await scene.top(3).read()
        assert rows(first) == [(1, "f", 15), (2, "e", 14), (3, "d", 13)]
        assert [entry.display_name for entry in first.entries] == ["F", "E", "D"]
        assert not first.keep_alive
        asked = await scene.client.boards.GetTop(pb.GetTopRequest())
        first.state.ClearField("confirmed_time")
        asked.state.ClearField("confirmed_time")
        assert first.state == asked.state


async def test_whoever_comes_later_is_told_the_present_top_at_its_present_position(
    redis_url: str,
) -> None:
    async with watched(redis_url, await _filled()) as scene:
        early = scene.top(1)
        await early.read()
        await scene.peer.credit("a", 1)
        await scene.client.live()
        late = await scene.top(1).read()
        assert rows(late) == [(1, "f", 15)]
        assert late.state.position == scene.peer.position


async def test_an_empty_board_is_told_and_then_its_first_entry(redis_url: str) -> None:
    async with watched(redis_url) as scene:
        top = scene.top()
        first = await top.read()
        assert not first.entries
        assert first.state.total_users == 0
        await scene.peer.credit("ann", 5)
        assert rows(await top.read()) == [(1, "ann", 5)]


async def test_a_change_of_what_is_shown_is_told_whole(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        top = scene.top(3)
        await top.read()
        await scene.peer.credit("a", 90, course_id="c")
        assert rows(await top.read()) == [(1, "a", 100), (2, "f", 15), (3, "e", 14)]
        await scene.peer.profile("a", "Ann")
        named = await top.read()
        assert [entry.display_name for entry in named.entries] == ["Ann", "F", "E"]
        await scene.peer.correct(ALL_TIME, "a", 15)
        assert rows(await top.read()) == [(1, "a", 15), (1, "f", 15), (3, "e", 14)]
        await scene.peer.profile("a", "Ann", hidden=True)
        assert rows(await top.read()) == [(1, "f", 15), (2, "e", 14), (3, "d", 13)]
        await scene.peer.erase("f")
        assert rows(await top.read()) == [(1, "e", 14), (2, "d", 13), (3, "c", 12)]
        await scene.peer.reset(ALL_TIME)
        assert rows(await top.read()) == []


async def test_what_changes_below_is_not_told(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        top = scene.top(2)
        await top.read()
        for _ in range(5):
            await scene.peer.credit("newcomer", 1)
            await scene.client.live()
        await scene.peer.credit("f", 1)
        assert rows(await top.read()) == [(1, "f", 16), (2, "e", 14)]


async def test_each_watcher_has_as_many_entries_as_it_asked_for(redis_url: str) -> None:
    peer = Peer()
    for number in range(120):
        await peer.credit(f"u{number}", 1 + number)
    async with watched(redis_url, peer) as scene:
        counts = {1: 1, 7: 7, 0: 10, 100: 100, 101: 100, 2**31 - 1: 100}
        tops = {asked: scene.top(asked) for asked in counts}
        for asked, top in tops.items():
            assert len((await top.read()).entries) == counts[asked]
        await peer.credit("u0", 1000)
        for asked, top in tops.items():
            assert rows(await top.read()) == _board(scene, counts[asked])


async def test_other_boards_are_left_alone(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        course, day = scene.top(course_id="c"), scene.top(window=DAY, period="2026-11-20")
        assert not (await course.read()).entries
        await day.read()
        await scene.peer.credit("a", 90, occurred_date="2026-11-19")
        await scene.client.live()
        await scene.peer.credit("b", 1, course_id="c")
        assert rows(await course.read()) == [(1, "b", 1)]
        assert rows(await day.read())[:2] == [(1, "f", 15), (2, "e", 14)]


async def test_a_burst_becomes_few_messages_and_the_last_is_the_final_state(
    redis_url: str,
) -> None:
    async with watched(redis_url, await _filled()) as scene:
        top = scene.top(1)
        await top.read()
        began = time.monotonic()
        for _ in range(500):
            await scene.peer.credit("f", 1)
            await asyncio.sleep(0)
        messages = await top.until(lambda message: rows(message) == [(1, "f", 515)])
        assert len(messages) <= 10 * (time.monotonic() - began) + 1


async def _lives(watcher: Watcher[Any]) -> None:
    """The first message, then keep-alives: the Peer confirms its position ten times a second."""
    first = await watcher.read()
    assert not first.keep_alive
    confirmed = first.state.confirmed_time.ToNanoseconds()

    def is_fresher(message: Any) -> bool:
        return bool(message.state.confirmed_time.ToNanoseconds() > confirmed)

    messages = await watcher.until(is_fresher)
    assert all(message.keep_alive for message in messages)
    assert messages[-1].state.total_users == 6
    assert messages[-1].state.board.window == types_pb2.WINDOW_ALL_TIME


async def test_a_quiet_watch_says_that_it_lives_with_a_fresh_state(redis_url: str) -> None:
    rhythm = Rhythm(poll_s=600, keep_alive_s=0.2, look_s=600)
    async with watched(redis_url, await _filled(), rhythm=rhythm) as scene:
        top, rank = scene.top(), scene.rank("c")
        await _lives(top)
        await _lives(rank)
        await scene.peer.credit("c", 90)
        changed = await top.until(lambda message: not message.keep_alive)
        assert rows(changed[-1])[0] == (1, "c", 102)
        assert not any(message.entries for message in changed[:-1])
        moved = await rank.until(lambda message: not message.keep_alive)
        assert (moved[-1].entry.rank, moved[-1].previous_rank) == (1, 4)
        assert not any(m.HasField("entry") or m.previous_rank for m in moved[:-1])


async def test_a_watch_of_the_current_period_moves_on_when_it_ends(redis_url: str) -> None:
    clock = Clock()
    peer = await _filled()
    await peer.credit("next", 3, occurred_date="2026-11-21")
    rhythm = Rhythm(poll_s=600, keep_alive_s=600, look_s=0.02)
    async with watched(redis_url, peer, rhythm=rhythm, now=clock) as scene:
        top, rank = scene.top(1, window=DAY), scene.rank("f", window=DAY)
        fixed = scene.top(1, window=DAY, period="2026-11-20")
        empty = scene.rank("nobody", window=DAY)
        for message in (await top.read(), await fixed.read()):
            assert rows(message) == [(1, "f", 15)]
            assert message.state.board.period == "2026-11-20"
            assert message.state.period_end_time.ToDatetime(UTC) == datetime(
                2026, 11, 21, tzinfo=UTC
            )
        assert (await rank.read()).entry.rank == 1
        await empty.read()
        clock.moment = datetime(2026, 11, 21, tzinfo=UTC)
        moved = await top.read()
        assert rows(moved) == [(1, "next", 3)]
        assert moved.state.board.period == "2026-11-21"
        gone = await rank.read()
        assert (gone.HasField("entry"), gone.previous_rank) == (False, 0)
        # Nothing is different but the board: that is said too.
        assert (await empty.read()).state.board.period == "2026-11-21"
        await peer.credit("f", 1, occurred_date="2026-11-20")
        assert rows(await fixed.read()) == [(1, "f", 16)]
        await peer.credit("f", 8, occurred_date="2026-11-21")
        assert rows(await top.read()) == [(1, "f", 8)]
        assert (await rank.read()).previous_rank == 0


async def test_the_end_of_a_period_is_not_waited_for_in_looks(redis_url: str) -> None:
    began = time.monotonic()
    midnight = datetime(2026, 11, 21, tzinfo=UTC)

    def now() -> datetime:
        return midnight + timedelta(seconds=time.monotonic() - began - 4)

    async with watched(redis_url, await _filled(), now=now, rhythm=TOLD) as scene:
        top = scene.top(window=DAY)
        assert (await top.read()).state.board.period == "2026-11-20"
        assert (await top.read()).state.board.period == "2026-11-21"
        assert 4 <= time.monotonic() - began < 5


async def test_a_past_period_is_followed_from_postgresql(redis_url: str) -> None:
    rhythm = Rhythm(poll_s=0.1, keep_alive_s=600, look_s=600)
    async with watched(redis_url, rhythm=rhythm) as scene:
        await scene.peer.credit("ann", 3, occurred_date="2013-10-01")
        top = scene.top(window=types_pb2.WINDOW_MONTH, period="2013-10")
        first = await top.read()
        assert (rows(first), first.state.source) == ([(1, "ann", 3)], POSTGRESQL)
        await scene.peer.credit("bob", 4, occurred_date="2013-10-02")
        assert rows(await top.read()) == [(1, "bob", 4), (2, "ann", 3)]


async def test_when_the_last_watcher_has_gone_nothing_is_left(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        stays, rank = scene.top(), scene.rank("a")
        tops = [scene.top(), scene.top(5), scene.top(window=DAY)]
        for watcher in (stays, *tops):
            await watcher.read()
        await rank.read()
        assert scene.app.watches.open == 5
        rank.call.cancel()
        for watcher in tops:
            watcher.call.cancel()
        await scene.peer.credit("a", 100)
        assert rows(await stays.read())[0] == (1, "a", 110)
        stays.call.cancel()
        await scene.nobody_watches()
        assert rows(await scene.top(1).read()) == [(1, "a", 110)]
