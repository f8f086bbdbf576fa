"""Page tokens and the history that they are of."""

from uuid import uuid4

import pytest
from grpc import aio

from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After
from leaderboard_service.domain.request import token_after
from progress_service.settings import ProgressSettings
from shared.errors import InvalidInput
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.periods import Window
from shared.rank_mode import RankMode
from shared.status import error_from_rpc
from tests.conftest import running_progress
from tests.leaderboard_app import (
    POSTGRESQL,
    REDIS,
    Client,
    check_board,
    direct,
    fill,
    live_client,
)
from tests.leaderboard_peer import Peer
from tests.progress import refused
from tests.signing import SIGNER

XP = Board("xp", "", Window.ALL_TIME, "")


async def _page(client: Client, token: str = "") -> pb.GetTopResponse:
    return await client.boards.GetTop(pb.GetTopRequest(page_size=2, page_token=token), timeout=5)


def _users(page: pb.GetTopResponse) -> list[str]:
    return [entry.user_id for entry in page.entries]


async def test_a_page_token_outlives_a_tenure_that_the_boards_have_followed(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        token = (await _page(client)).next_page_token
        for _ in range(3):
            peer.restart()
            await peer.credit("f", 1)
            await client.live()
        page = await _page(client, token)
        assert (_users(page), page.state.source) == (["d", "c"], REDIS)
        assert peer.list_calls == 0


async def test_a_page_token_of_an_unknown_tenure_is_judged_once(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        token = (await _page(client)).next_page_token
    peer.restart()
    await peer.credit("f", 1)
    async with live_client(redis_url, peer) as client:
        pass
    # This one has seen no stream go from one to the other.
    async with live_client(redis_url, peer) as client:
        await client.live()
        first = await _page(client, token)
        assert (_users(first), first.state.source) == (["d", "c"], POSTGRESQL)
        again = await _page(client, token)
        assert (_users(again), again.state.source) == (["d", "c"], REDIS)
        last = await _page(client, first.next_page_token)
        assert (_users(last), last.state.source) == (["b", "a"], REDIS)
        assert peer.list_calls == 1


async def test_a_list_begun_on_one_store_goes_on_on_the_other(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client, direct(redis_url) as redis:
        first = await _page(client)
        assert (_users(first), first.state.source) == (["f", "e"], REDIS)
        # Redis has lost its boards, and they cannot be rebuilt.
        peer.cut_snapshots = 10**6
        await redis.flushdb()
        second = await _page(client, first.next_page_token)
        assert (_users(second), second.state.source) == (["d", "c"], POSTGRESQL)
        peer.cut_snapshots = 0
        await client.live()
        third = await _page(client, second.next_page_token)
        assert (_users(third), third.state.source) == (["b", "a"], REDIS)
        assert third.next_page_token == ""


async def test_postgresql_knows_its_own_tenures_and_no_others(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings) as progress:
        await progress.put_users("ann", "bob", "eve")
        for user, amount in (("ann", 9), ("bob", 8), ("eve", 7)):
            await progress.award(user, amount)
        first = await progress.settled()
        page = await progress.standings.ListStandings(
            progress_pb2.ListStandingsRequest(page_size=1)
        )
    async with running_progress(settings) as progress:
        await progress.award("ann", 1)
        assert (await progress.settled()).epoch != first.epoch
        request = progress_pb2.ListStandingsRequest(page_token=page.next_page_token)
        rest = await progress.standings.ListStandings(request)
        assert [one.user_id for one in rest.standings] == ["bob", "eve"]
        # The first tenure ended where it was asked; the second has not gone so far.
        of_first, present = (first.epoch, first.sequence), (await progress.settled()).epoch
        for epoch, sequence in (of_first, (present, first.sequence + 1)):
            request.page_token = token_after(
                SIGNER, XP, RankMode.COMPETITION, After(9, "ann", epoch, sequence)
            )
            assert (await progress.standings.ListStandings(request)).standings
        beyond = ((first.epoch, first.sequence + 1), (present, first.sequence + 2))
        for epoch, sequence in ((str(uuid4()), 1), ("no-uuid", 1), *beyond):
            request.page_token = token_after(
                SIGNER, XP, RankMode.COMPETITION, After(9, "ann", epoch, sequence)
            )
            async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
                await progress.standings.ListStandings(request)


async def test_a_restore_to_the_past_ends_lists_that_were_begun_before(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer) as client:
        old = (await _page(client)).next_page_token
        peer.restart()
        await client.live()
        # Judged, and known to be good: until the history is another.
        assert _users(await _page(client, old)) == ["d", "c"]
        peer.forget_history()
        await peer.credit("a", 1)
        await client.live()
        with pytest.raises(aio.AioRpcError) as caught:
            await _page(client, old)
        assert error_from_rpc(caught.value).reason == "INVALID_PAGE_TOKEN"


async def test_boards_that_are_ahead_of_the_history_are_rebuilt(redis_url: str) -> None:
    peer = Peer()
    await fill(peer)
    async with live_client(redis_url, peer):
        pass
    # A loss that left the tenure its name.
    peer.changes.pop()
    for scores in peer.scores.values():
        scores.pop("f")
    before = peer.snapshots
    async with live_client(redis_url, peer) as client:
        assert peer.snapshots == before + 1
        await check_board(client, source=REDIS)
