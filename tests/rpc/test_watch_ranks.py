"""WatchRank: what is said of one user, and when."""

import pytest

from leaderboard_service.watching.schedule import Rhythm
from shared.embedded.redis import EmbeddedRedis
from tests.leaderboard_app import POSTGRESQL, REDIS, fill
from tests.leaderboard_peer import Peer
from tests.watchers import watched


async def _filled() -> Peer:
    """Users a to f with 10 to 15."""
    peer = Peer()
    await fill(peer)
    return peer


async def test_a_rank_is_told_when_anything_about_it_changes(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        rank = scene.rank("c")
        first = await rank.read()
        assert (first.entry.rank, first.entry.score, first.entry.display_name) == (4, 12, "C")
        assert (first.previous_rank, first.state.source) == (0, REDIS)
        await scene.peer.credit("a", 90)
        overtaken = await rank.read()
        assert (overtaken.entry.rank, overtaken.previous_rank) == (5, 4)
        await scene.peer.credit("newcomer", 1)
        await scene.client.live()
        await scene.peer.profile("c", "Cat")
        named = await rank.read()
        assert (named.entry.display_name, named.previous_rank) == ("Cat", 5)
        await scene.peer.credit("c", 200)
        leads = await rank.read()
        assert (leads.entry.rank, leads.entry.score, leads.previous_rank) == (1, 212, 5)


async def test_who_is_not_on_the_board_is_told_so_once(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        rank = scene.rank("newcomer")
        first = await rank.read()
        assert not first.HasField("entry")
        assert (first.previous_rank, first.keep_alive) == (0, False)
        for _ in range(3):
            await scene.peer.credit("a", 1)
            await scene.client.live()
        await scene.peer.credit("newcomer", 14)
        ranked = await rank.read()
        assert (ranked.entry.rank, ranked.previous_rank) == (2, 0)
        await scene.peer.profile("newcomer", hidden=True)
        hidden = await rank.read()
        assert (hidden.HasField("entry"), hidden.previous_rank) == (False, 2)
        await scene.peer.profile("newcomer")
        again = await rank.read()
        assert (again.entry.rank, again.previous_rank) == (2, 0)


async def test_the_previous_rank_is_that_which_this_watcher_was_told(redis_url: str) -> None:
    async with watched(redis_url, await _filled()) as scene:
        early = scene.rank("c")
        assert (await early.read()).previous_rank == 0
        await scene.peer.credit("a", 90)
        assert (await early.read()).previous_rank == 4
        late = scene.rank("c")
        assert (await late.read()).previous_rank == 0
        await scene.peer.credit("b", 90)
        for rank in (early, late):
            message = await rank.read()
            assert (message.entry.rank, message.previous_rank) == (6, 5)


@pytest.mark.parametrize("source", [REDIS, POSTGRESQL], ids=["redis", "postgresql"])
async def test_many_users_of_a_board_are_followed_at_once(
    redis_server: EmbeddedRedis, source: int
) -> None:
    peer = Peer()
    for number in range(620):
        await peer.credit(f"u{number}", 1000 - number)
    rhythm = Rhythm(poll_s=0.1, keep_alive_s=600)
    async with watched(redis_server.url(), peer, rhythm=rhythm) as scene:
        if source == POSTGRESQL:
            redis_server.kill()
        ranks = [scene.rank(f"u{number}") for number in range(620)]
        for number, rank in enumerate(ranks):
            assert (await rank.read()).entry.rank == number + 1
        await peer.credit("u619", 10_000)
        for number, rank in enumerate(ranks):
            message = await rank.read()
            assert message.entry.rank == (number + 2 if number < 619 else 1)
            assert message.state.source == source
            assert message.previous_rank == number + 1
