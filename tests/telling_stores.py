"""Stores that fail at everything, with secrets in their errors; and calls that reach them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio

from shared.gen.laurel.leaderboard.v1 import admin_pb2 as boards_admin_pb2
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2, progress_pb2
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import (
    ProgressServiceStub,
    StandingsServiceStub,
)
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import AUTH_SECRET, token
from tests.progress import award, level, submission
from tests.signing import SECRET

PASSWORD = "the-password-of-the-store"
TOKEN = token("user", "eve")
SECRETS = (PASSWORD, AUTH_SECRET, SECRET, TOKEN)
IN_SQL = "canary-in-sql"
IN_REDIS = "canary-in-redis"
BROKEN = "\n2026-11-20T09:00:00Z [info     ] forged \x1b[31m \u2028 \x9b31m"
# Of what only the inside knows.

ALL_FAIL = f"""
CREATE FUNCTION canary() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '{IN_SQL} {" ".join(SECRETS)} {BROKEN}' USING DETAIL = '{IN_SQL} detail';
END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM canary();
END $$;
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('CREATE TRIGGER canary BEFORE INSERT OR UPDATE OR DELETE ON %I
                    EXECUTE FUNCTION refuse()', name);
  END LOOP;
  FOREACH name IN ARRAY '{{users,metrics,courses,xp_entries,attempts,standings,profiles,
                         amnesty_days,user_totals,admin_actions,level_progress}}'::text[] LOOP
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_kept');
    EXECUTE format('CREATE VIEW %I AS SELECT kept.* FROM (SELECT canary()) AS c, %I AS kept',
                   name, name || '_kept');
  END LOOP;
END $$;
"""


def progress_calls(channel: aio.Channel) -> list[Callable[[], Any]]:
    """Calls that reach the database, each its own way."""
    progress, standings = ProgressServiceStub(channel), StandingsServiceStub(channel)
    catalog, admin = CatalogServiceStub(channel), ProgressAdminServiceStub(channel)
    pb = progress_pb2
    section = catalog_pb2.Section(section_id="s", title="S", levels=[level("l1")])
    course = catalog_pb2.Course(course_id="c", title="C", sections=[section])
    user = catalog_pb2.User(user_id="ann", display_name="Ann")
    metric = catalog_pb2.Metric(metric="coins", title="Coins")
    board = types_pb2.Board(metric="xp")
    items = admin_pb2.ImportProgressRequest(users=[user])
    return [
        lambda: progress.SubmitProgress(submission("ann", "l1")),
        lambda: progress.AwardXp(award("ann", 5)),
        lambda: progress.GetUserStats(pb.GetUserStatsRequest(user_id="ann")),
        lambda: progress.ListXpEntries(pb.ListXpEntriesRequest(user_id="ann")),
        lambda: progress.ListAttempts(pb.ListAttemptsRequest(user_id="ann")),
        lambda: progress.GetCourseProgress(
            pb.GetCourseProgressRequest(user_id="ann", course_id="c")
        ),
        lambda: catalog.PutUser(catalog_pb2.PutUserRequest(user=user)),
        lambda: catalog.GetUser(catalog_pb2.GetUserRequest(user_id="ann")),
        lambda: catalog.ListUsers(catalog_pb2.ListUsersRequest()),
        lambda: catalog.PutCourse(catalog_pb2.PutCourseRequest(course=course)),
        lambda: catalog.ListCourses(catalog_pb2.ListCoursesRequest()),
        lambda: catalog.PutMetric(catalog_pb2.PutMetricRequest(metric=metric)),
        lambda: catalog.ListMetrics(catalog_pb2.ListMetricsRequest()),
        lambda: standings.ListStandings(pb.ListStandingsRequest(board=board)),
        lambda: standings.SnapshotStandings(pb.SnapshotStandingsRequest()),
        lambda: admin.ImportProgress(iter([items])),
        lambda: admin.VerifyLedger(admin_pb2.VerifyLedgerRequest()),
        lambda: admin.BackfillTotals(admin_pb2.BackfillTotalsRequest()),
        lambda: admin.ExportUser(admin_pb2.ExportUserRequest(user_id="ann")),
        lambda: admin.EraseUser(admin_pb2.EraseUserRequest(user_id="ann")),
        lambda: admin.ListAdminActions(admin_pb2.ListAdminActionsRequest()),
        lambda: admin.ResetWindow(admin_pb2.ResetWindowRequest(board=board, request_id="r")),
        lambda: admin.GetStatus(admin_pb2.GetStatusRequest()),
    ]


def board_calls(channel: aio.Channel) -> list[Callable[[], Any]]:
    boards, admin = LeaderboardServiceStub(channel), LeaderboardAdminServiceStub(channel)
    return [
        lambda: boards.GetTop(leaderboard_pb2.GetTopRequest(user_id="ann")),
        lambda: boards.GetRank(leaderboard_pb2.GetRankRequest(user_id="ann")),
        lambda: boards.GetAround(leaderboard_pb2.GetAroundRequest(user_id="ann")),
        lambda: boards.BatchGetRanks(leaderboard_pb2.BatchGetRanksRequest(user_ids=["ann"])),
        lambda: boards.WatchTop(leaderboard_pb2.WatchTopRequest()),
        lambda: admin.GetStatus(boards_admin_pb2.GetStatusRequest()),
        lambda: admin.RebuildBoards(boards_admin_pb2.RebuildBoardsRequest()),
        lambda: admin.VerifyBoards(boards_admin_pb2.VerifyBoardsRequest()),
        lambda: admin.ClearCache(boards_admin_pb2.ClearCacheRequest()),
    ]


@asynccontextmanager
async def failing_redis() -> AsyncIterator[int]:
    """A port where every command is answered with an error that tells secrets."""
    text = f"-ERR {IN_REDIS} {' '.join(SECRETS)} \x1b[31m \u2028\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(text)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
