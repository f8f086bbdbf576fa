"""Watches while a store fails, loses what it had, or is replaced."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from typing import Any, NoReturn

from leaderboard_service.watching.schedule import Rhythm
from shared.embedded.redis import EmbeddedRedis
from shared.errors import FailedPrecondition, Unavailable
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_app import POSTGRESQL, REDIS, connected, direct, eventually, fill, running
from tests.leaderboard_peer import Peer, serve
from tests.progress import refused
from tests.watchers import TOLD, Scene, Watcher, rows, watched

POLLED = Rhythm(poll_s=0.1, keep_alive_s=600, look_s=600)


async def _filled() -> Peer:
    """Users a to f with 10 to 15."""
    peer = Peer()
    await fill(peer)
    return peer


async def _until_leads(
    scene: Scene, top: Watcher[pb.WatchTopResponse], user: str
) -> pb.WatchTopResponse:
    """Credits the user until a message shows that the user leads; that message, which is right."""
    await scene.peer.credit(user, 1000)
    expected = [(e.rank, e.user_id, e.score) for e in scene.peer.board("xp//all_time/")]
    return (await top.until(lambda message: rows(message) == expected))[-1]


async def test_a_watch_goes_on_from_postgresql_while_redis_is_down_and_returns_to_redis(
    redis_server: EmbeddedRedis,
) -> None:
    async with watched(redis_server.url(), await _filled(), rhythm=POLLED) as scene:
        top, rank = scene.top(), scene.rank("a")
        await top.read()
        assert (await rank.read()).entry.rank == 6
        redis_server.kill()
        assert (await _until_leads(scene, top, "a")).state.source == POSTGRESQL
        risen = await rank.read()
        assert (risen.entry.rank, risen.previous_rank) == (1, 6)
        assert (await _until_leads(scene, top, "b")).state.source == POSTGRESQL
        await asyncio.to_thread(redis_server.start)
        await scene.client.live()
        for user in "cde":
            await _until_leads(scene, top, user)
        assert (await _until_leads(scene, top, "f")).state.source == REDIS


async def test_a_watch_that_begins_while_redis_is_down_is_answered_from_postgresql(
    redis_server: EmbeddedRedis,
) -> None:
    async with watched(redis_server.url(), await _filled(), rhythm=POLLED) as scene:
        redis_server.kill()
        first = await scene.top(1).read()
        assert (rows(first), first.state.source) == ([(1, "f", 15)], POSTGRESQL)


async def test_a_hanging_redis_is_found_out_by_anyones_read(redis_server: EmbeddedRedis) -> None:
    async with watched(redis_server.url(), await _filled(), rhythm=POLLED) as scene:
        top = scene.top(1)
        await top.read()
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            await scene.peer.credit("a", 90)
            await scene.client.boards.GetTop(pb.GetTopRequest())
            told = await top.read()
            assert (rows(told), told.state.source) == ([(1, "a", 100)], POSTGRESQL)
            # The follower itself waits 5 s for Redis.
            assert time.monotonic() - began < 4
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)


async def test_a_flush_of_redis_is_survived(redis_url: str) -> None:
    async with (
        watched(redis_url, await _filled(), rhythm=POLLED) as scene,
        direct(redis_url) as redis,
    ):
        top = scene.top()
        await top.read()
        for user in "abc":
            await redis.flushdb()
            await _until_leads(scene, top, user)
        await scene.client.live()
        assert (await _until_leads(scene, top, "d")).state.source == REDIS


async def test_a_rebuild_is_not_noticed(redis_url: str) -> None:
    async with watched(redis_url, await _filled(), rhythm=TOLD) as scene:
        top = scene.top()
        await top.read()
        for user in "abc":

            async def meanwhile(user: str = user) -> None:
                await _until_leads(scene, top, user)

            scene.peer.during_snapshot = meanwhile
            rebuild = scene.client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest())
            assert [message async for message in rebuild][-1].complete
            assert (await _until_leads(scene, top, "d")).state.source == REDIS


async def test_what_a_rebuild_mends_is_told(redis_url: str) -> None:
    async with (
        watched(redis_url, await _filled(), rhythm=TOLD) as scene,
        direct(redis_url) as redis,
    ):
        (board,) = await redis.keys("*board:xp//all_time/")
        await redis.zadd(board, {"a": -1000})
        top = scene.top(1)
        assert rows(await top.read()) == [(1, "a", 1000)]
        rebuild = scene.client.admin.RebuildBoards(admin_pb2.RebuildBoardsRequest())
        assert [message async for message in rebuild][-1].complete
        assert rows(await top.read()) == [(1, "f", 15)]


async def test_what_can_never_be_answered_is_not_tried_again(redis_url: str) -> None:
    class Refusing(Peer):
        async def ListStandings(self, request: Any, context: Any) -> NoReturn:
            raise FailedPrecondition("TEST_REFUSED", "never")

    async with watched(redis_url, Refusing(), rhythm=POLLED) as scene:
        error = await scene.top(window=types_pb2.WINDOW_YEAR, period="1999").end()
        assert (type(error), error.reason) == (FailedPrecondition, "TEST_REFUSED")


async def test_what_another_process_applies_is_told_too(redis_url: str) -> None:
    peer = await _filled()
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serve(peer))
        scenes = []
        for _ in range(3):
            app = await stack.enter_async_context(running(redis_url, target, rhythm=TOLD))
            client = await stack.enter_async_context(connected(app, peer))
            await client.live()
            scenes.append(Scene(app, client))
        tops = [(scene, scene.top(2)) for scene in scenes]
        for _, top in tops:
            await top.read()
        for user in "abcabcabc":
            await peer.credit(user, 1000)
            for _, top in tops:
                await top.until(
                    lambda message: (
                        rows(message)
                        == [(e.rank, e.user_id, e.score) for e in peer.board("xp//all_time/")[:2]]
                    )
                )


async def test_what_is_applied_while_this_process_does_not_follow_is_found_by_looking(
    redis_url: str,
) -> None:
    peer, cut_off = await _filled(), await _filled()
    async with AsyncExitStack() as stack:
        scenes = []
        for of in (peer, cut_off):
            target = await stack.enter_async_context(serve(of))
            app = await stack.enter_async_context(running(redis_url, target, rhythm=TOLD))
            client = await stack.enter_async_context(connected(app, of))
            await client.live()
            scenes.append(Scene(app, client))
        top = scenes[1].top(1)
        await top.read()
        cut_off.down = True

        async def disconnected() -> bool:
            status = await scenes[1].client.status()
            return bool(status.state == admin_pb2.GetStatusResponse.STATE_PROGRESS_DOWN)

        await eventually(disconnected)
        await peer.credit("a", 90)
        told = await top.until(lambda message: rows(message) == [(1, "a", 100)])
        assert told[-1].state.source == REDIS


async def test_a_watch_ends_when_neither_store_answers_for_long(
    redis_server: EmbeddedRedis,
) -> None:
    rhythm = Rhythm(poll_s=0.1, keep_alive_s=0.3, give_up_s=0.6)
    async with watched(redis_server.url(), await _filled(), rhythm=rhythm) as scene:
        top, rank = scene.top(), scene.rank("a")
        await top.read()
        await rank.read()
        scene.peer.down = True
        redis_server.kill()
        untold = scene.top(course_id="c")
        for error in (await top.end(), await rank.end(), await untold.end()):
            assert (type(error), error.reason) == (Unavailable, "BOARDS_UNAVAILABLE")
        await scene.nobody_watches()
        scene.peer.down = False
        assert rows(await scene.top(1).read()) == [(1, "f", 15)]


async def test_a_short_silence_of_both_stores_is_bridged(redis_server: EmbeddedRedis) -> None:
    async with watched(redis_server.url(), await _filled(), rhythm=POLLED) as scene:
        scene.peer.down = True
        redis_server.kill()
        top = scene.top(1)
        waiting = asyncio.create_task(top.read())

        async def tried() -> bool:
            return scene.peer.refused > 3

        await eventually(tried)
        scene.peer.down = False
        assert rows(await waiting) == [(1, "f", 15)]


async def test_a_full_fallback_is_tried_again(redis_url: str) -> None:
    peer = await _filled()
    full = watched(redis_url, peer, rhythm=POLLED, fallback_limit=1, fallback_timeout_s=0.5)
    async with (
        full as scene,
        direct(redis_url) as redis,
    ):
        peer.cut_snapshots = 10**6
        await redis.flushdb()
        peer.hangs = True
        asked = scene.client.boards.GetTop(pb.GetTopRequest())

        async def hangs() -> bool:
            return peer.list_calls > 0

        await eventually(hangs)
        top = scene.rank("f")
        peer.hangs = False
        assert (await top.read()).state.source == POSTGRESQL
        async with refused(Unavailable, "BOARDS_UNAVAILABLE"):
            await asked


async def _go_back(scene: Scene) -> None:
    """The history goes back, as when PostgreSQL is restored, and the boards with it."""
    peer = scene.peer
    peer.down = True
    await peer.credit("a", 0)

    async def cut_off() -> bool:
        return peer.watchers == 0

    await eventually(cut_off)
    del peer.changes[6:]
    peer.scores = {"xp//all_time/": {"a": 10}}
    peer.forget_history()
    peer.down = False
    await scene.client.live()


BRIEF = Rhythm(poll_s=0.05, keep_alive_s=0.05, give_up_s=2)


async def test_nothing_older_is_said_than_what_was_said(redis_url: str) -> None:
    async with watched(redis_url, await _filled(), rhythm=BRIEF) as scene:
        top = scene.top(1)
        await top.read()
        await _go_back(scene)
        error = await top.end()
        assert error.reason == "BOARDS_UNAVAILABLE"
        assert rows(await scene.top(1).read()) == [(1, "a", 10)]


async def test_a_history_that_went_back_is_told_though_somebody_always_watches(
    redis_url: str,
) -> None:
    async with watched(redis_url, await _filled(), rhythm=BRIEF) as scene:
        top = scene.top(1)
        await top.read()
        await _go_back(scene)
        waiting: set[asyncio.Task[pb.WatchTopResponse]] = set()
        told: list[pb.WatchTopResponse] = []
        async with asyncio.timeout(15):
            while not told:
                waiting.add(asyncio.create_task(scene.top(1).read()))
                done, waiting = await asyncio.wait(waiting, timeout=0.05)
                told = [task.result() for task in done if task.exception() is None]
        for task in waiting:
            task.cancel()
        assert rows(told[0]) == [(1, "a", 10)]
