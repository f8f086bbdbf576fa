"""VerifyBoards as a call: its bounds, slow readers, callers who go away, a server that drains."""

import asyncio

import pytest
from grpc import aio

from leaderboard_service import verification
from leaderboard_service.administration import MAX_VERIFICATIONS
from leaderboard_service.comparison import Compared
from leaderboard_service.domain.board import parse_board_name
from leaderboard_service.domain.expected import Difference
from leaderboard_service.verification import Tally
from shared.errors import FailedPrecondition, InvalidInput, ResourceExhausted, Unavailable
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.board_damage import DAY, hand
from tests.leaderboard_app import connected, eventually, live_client, running
from tests.leaderboard_peer import Peer, serve
from tests.progress import refused
from tests.verify_boards import scene, verify


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


async def test_a_slow_reader_holds_the_comparison_up_and_loses_nothing(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with (
        serve(peer) as target,
        running(redis_url, target) as app,
        connected(app, peer) as client,
    ):
        await client.live()
        boards = [f"b{number}//all_time/" for number in range(5)]
        async with hand(redis_url) as spoiler:
            for board in boards:
                await spoiler.put(board, "a", 7)
        goes_on = asyncio.Event()
        told: list[Difference] = []

        async def tell(compared: Compared) -> None:
            told.extend(compared.differences)
            await goes_on.wait()

        verification, generation = app._verification, app._generations.current
        assert generation is not None
        named = [parse_board_name(board) for board in boards]
        groups = [
            group for board in named for group in await verification.groups(generation, [board])
        ]

        async def compare() -> None:
            for group in groups:
                await verification.compare(generation, group, Tally(), tell, repair=False)

        comparing = asyncio.create_task(compare())
        while not told:
            await asyncio.sleep(0.001)
        for _ in range(20):
            assert (await client.status()).standings_verified == 1
        goes_on.set()
        await comparing
        assert [one.board for one in told] == boards


async def test_a_caller_who_goes_away_ends_the_comparison(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with live_client(redis_url, peer) as client:
        for _ in range(2 * MAX_VERIFICATIONS):
            held = asyncio.Event()

            async def hold(held: asyncio.Event = held) -> None:
                held.set()
                await asyncio.Event().wait()

            peer.during_snapshot = hold
            call = client.admin.VerifyBoards(pb.VerifyBoardsRequest())
            reading = asyncio.create_task(call.read())
            await held.wait()
            call.cancel()
            await asyncio.wait({reading})
            peer.during_snapshot = None

        async def free() -> bool:
            try:
                return (await verify(client.admin)).mismatches == []
            except aio.AioRpcError:
                return False

        await eventually(free)


async def test_a_server_that_drains_ends_verifications(redis_url: str) -> None:
    peer = Peer()
    await scene(peer)
    async with (
        serve(peer) as target,
        running(redis_url, target) as app,
        connected(app, peer) as client,
    ):
        await client.live()

        async def drain() -> None:
            app.server.draining.set()

        peer.during_snapshot = drain
        async with refused(Unavailable, "DRAINING"):
            await verify(client.admin)
