"""Both services as their tests call them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpc import aio

from leaderboard_service.domain.board import Floors, board_name
from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window
from tests.leaderboard_app import REDIS, dial, direct, running
from tests.progress import Progress, eventually


class Pair:
    """Stubs of the board service on a running ProgressService."""

    def __init__(self, channel: aio.Channel, progress: Progress) -> None:
        self.boards = LeaderboardServiceStub(channel)
        self.admin = LeaderboardAdminServiceStub(channel)
        self.progress = progress

    async def settled(self) -> None:
        """Waits until everything that was written is on the boards in Redis."""

        async def live() -> bool:
            # Each time anew: a call that was cancelled may be recorded after everything else was.
            head = await self.progress.settled()
            status = await self.admin.GetStatus(admin_pb2.GetStatusRequest())
            return status.applied == head

        await eventually(live, "the boards in Redis are at the head")

    async def top(self, **board: object) -> dict[str, int]:
        """The scores on a board, as Redis has them once it holds everything."""
        await self.settled()
        request = pb.GetTopRequest(board=types_pb2.Board(**board), page_size=500)  # type: ignore[arg-type]
        found = await self.boards.GetTop(request)
        assert found.state.source == REDIS
        return {entry.user_id: entry.score for entry in found.entries}

    async def agree(self, *users: str) -> int:
        """Everything that Redis keeps is as PostgreSQL has it: each board, where each of the users
        stands, the scores of those who are hidden. The number of boards compared.
        """
        await self.settled()
        compared = 0
        for board in await self._boards():
            compared += await self._agrees(board, users)
        return compared

    async def _boards(self) -> list[types_pb2.Board]:
        """Every board that anything was ever counted on."""
        async with self.progress.sql() as sql:
            rows = await sql.fetch(
                "SELECT metric, course_id, board_window AS window, period FROM boards"
            )
        return [types_pb2.Board(**row) for row in rows]

    async def _agrees(self, board: types_pb2.Board, users: tuple[str, ...]) -> bool:
        top = await self.boards.GetTop(pb.GetTopRequest(board=board, page_size=500))
        if top.state.source != REDIS:
            return False  # a period that Redis does not keep
        listed = await self.progress.standings.ListStandings(
            progress_pb2.ListStandingsRequest(board=board, page_size=500)
        )
        assert top.state.position == listed.position
        assert top.state.total_users == listed.total_users
        assert [_entry(e) for e in top.entries] == [_entry(e) for e in listed.standings], board
        batch = await self.progress.standings.BatchGetStandings(
            progress_pb2.BatchGetStandingsRequest(board=board, user_ids=users)
        )
        standings = {one.user_id: one for one in batch.standings}
        for user in users:
            rank = await self.boards.GetRank(pb.GetRankRequest(board=board, user_id=user))
            assert rank.state.source == REDIS
            standing = standings.get(user)
            assert rank.HasField("entry") == (standing is not None)
            if standing is not None:
                assert _entry(rank.entry) == _entry(standing)
                assert rank.score_to_next_rank == standing.score_to_next_rank
        return True


def _entry(one: pb.Entry | progress_pb2.Standing) -> tuple[int, str, int, str]:
    return (one.rank, one.user_id, one.score, one.display_name or one.user_id)


async def hidden_agree(pair: Pair, redis_url: str) -> dict[str, dict[str, int]]:
    """The scores of hidden users by board name, of all periods that Redis keeps: the same in both
    stores.
    """
    await pair.settled()
    async with pair.progress.sql() as sql:
        rows = await sql.fetch(
            """SELECT user_id, metric, course_id, board_window, period, score
               FROM standings JOIN boards USING (board_id) WHERE hidden AND score > 0"""
        )
    async with direct(redis_url) as redis:
        (meta,) = await redis.keys("*:meta")
        floors = Floors.decode(str(await redis.hget(meta, "floors")))
        found: dict[str, dict[str, int]] = {}
        for key in await redis.keys("*:hidden:*"):
            scores = await redis.hgetall(key)
            found[str(key).rpartition(":hidden:")[2]] = {str(b): int(s) for b, s in scores.items()}
    stored: dict[str, dict[str, int]] = {}
    for row in rows:
        user, metric, course_id, window, period, score = row
        if floors.keeps(Window(window), period):
            name = board_name(metric, course_id, Window(window), period)
            stored.setdefault(user, {})[name] = score
    assert found == stored
    return found


@asynccontextmanager
async def running_pair(redis_url: str, progress: Progress) -> AsyncIterator[Pair]:
    """The board service in this event loop, on a running ProgressService."""
    async with running(redis_url, progress.target) as app, dial(app) as channel:
        yield Pair(channel, progress)
