"""Users: which zones they had, and lists of them by prefix."""

import asyncio
import json
from datetime import timedelta

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.bounds import MAX_ZONE_CHANGES
from progress_service.store import users
from shared.errors import FailedPrecondition
from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from tests.civil_clock import Learners, learners
from tests.imports import batch, import_all
from tests.progress import Progress, held, refused, waits_for_lock

HOUR = timedelta(hours=1)


async def zones(service: Learners, user_id: str) -> list[tuple[str, str]]:
    """(until, zone) for each zone that the user had before the present one."""
    async with service.progress.sql() as sql:
        stored = await sql.fetchval("SELECT earlier_zones FROM users WHERE user_id = $1", user_id)
    return [(until, zone) for until, zone in json.loads(stored)]


async def test_a_change_of_zone_is_kept_with_its_moment_and_an_equal_profile_is_none(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        await service.put("ann", "Asia/Jakarta")
        assert await zones(service, "ann") == []
        for zone in ("Asia/Jakarta", "", "", "Asia/Kathmandu", "Asia/Kathmandu"):
            service.clock.moment += HOUR
            await service.put("ann", zone)
        await service.put("ann", "Asia/Kathmandu", display_name="Ann")
        assert await zones(service, "ann") == [
            ("2026-11-20T14:00:00.000000+00:00", "Asia/Jakarta"),
            ("2026-11-20T16:00:00.000000+00:00", ""),
        ]


async def test_the_history_of_zones_does_not_go_back_when_a_clock_does(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        await service.put("ann", "UTC")
        await service.put("ann", "Asia/Jakarta")
        service.clock.moment -= HOUR
        await service.put("ann", "Asia/Kathmandu")
        untils = [until for until, _ in await zones(service, "ann")]
        assert untils == ["2026-11-20T12:00:00.000000+00:00"] * 2
        # What happens from then on is in the present zone; what did before, in the first.
        await service.award("ann", service.clock.moment - HOUR)
        assert await service.active_days("ann") == ["2026-11-20"]


async def test_many_users_change_their_zones_in_one_import(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        names = [f"u{n}" for n in range(30)]
        people = [pb.User(user_id=one, time_zone="Asia/Jakarta") for one in names]
        await import_all(service.progress, [batch(users=people)])
        service.clock.moment += 4 * HOUR + timedelta(minutes=58)
        ahead = service.clock.moment + timedelta(minutes=4)
        for one in names[:3]:
            await service.award(one, ahead)
        assert await service.active_days("u0") == ["2026-11-21"]
        moved = [pb.User(user_id=one, time_zone="Europe/Madrid") for one in [*names[::2], "u0"]]
        await import_all(service.progress, [batch(users=moved)])
        async with service.progress.sql() as sql:
            counts = await sql.fetch(
                """SELECT time_zone, jsonb_array_length(earlier_zones) AS changes, count(*) AS users
                   FROM users GROUP BY 1, 2 ORDER BY 1"""
            )
        assert [tuple(row) for row in counts] == [("Asia/Jakarta", 0, 15), ("Europe/Madrid", 1, 15)]
        days = [await service.active_days(one) for one in names[:3]]
        assert days == [["2026-11-20"], ["2026-11-21"], ["2026-11-20"]]


async def test_a_zone_that_changes_too_often_is_refused_and_nothing_is_written(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        await service.put("ann", "UTC")
        async with service.progress.sql() as sql:
            await sql.execute(
                """UPDATE users SET earlier_zones = (
                       SELECT jsonb_agg(jsonb_build_array('2020-01-01T00:00:00.000000+00:00', ''))
                       FROM generate_series(1, $1))""",
                MAX_ZONE_CHANGES - 1,
            )
        await service.put("ann", "Asia/Jakarta")
        async with refused(FailedPrecondition, "TOO_MANY_TIME_ZONES") as errors:
            await service.put("ann", "UTC", display_name="Ann")
        assert errors[0].metadata["user_id"] == "ann"
        found = await service.progress.catalog.GetUser(pb.GetUserRequest(user_id="ann"))
        assert found.user == pb.User(user_id="ann", time_zone="Asia/Jakarta")
        await service.put("ann", "Asia/Jakarta", display_name="Ann")
        assert len(await zones(service, "ann")) == MAX_ZONE_CHANGES


async def test_a_zone_and_an_event_that_race_leave_the_day_of_the_moment(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment += 5 * HOUR + timedelta(minutes=30)
        await service.put("ann", "Asia/Jakarta")
        async with held(service.progress, "ann"):
            move = asyncio.create_task(service.put("ann", "Europe/Madrid"))
            await waits_for_lock(service.progress)
            # Later than the change, and waiting for the same row.
            service.clock.moment += timedelta(seconds=1)
            event = asyncio.create_task(service.award("ann"))
        await asyncio.gather(move, event)
        assert await service.active_days("ann") == ["2026-11-20"]


async def page(progress: Progress, prefix: str, token: str = "") -> tuple[list[str], str]:
    request = pb.ListUsersRequest(prefix=prefix, page_size=2, page_token=token)
    found = await progress.catalog.ListUsers(request)
    return [one.user_id for one in found.users], found.next_page_token


async def put(progress: Progress, user_id: str, name: str = "") -> None:
    user = pb.User(user_id=user_id, display_name=name)
    await progress.catalog.PutUser(pb.PutUserRequest(user=user))


async def test_a_list_by_prefix_pages_stably_while_users_are_added_and_renamed(
    progress: Progress,
) -> None:
    for user_id, name in (("an", "Zoe"), ("c", "Anna"), ("ann", "Ann"), ("b", "ANTON"), ("z", "z")):
        await put(progress, user_id, name)
    first, token = await page(progress, "an")
    assert first == ["an", "ann"]
    await put(progress, "a", "Anja")
    await put(progress, "anna", "")
    await put(progress, "ann", "Zoe")
    second, token = await page(progress, "an", token)
    assert second == ["anna", "b"]
    assert await page(progress, "an", token) == (["c"], "")


async def insert_users(sql: asyncpg.Connection, ids: str, count: int) -> None:
    await sql.execute(
        f"""INSERT INTO users (user_id, display_name, avatar_url, time_zone, hidden)
            SELECT {ids}, 'name ' || n, '', '', false FROM generate_series(1, $1) n""",
        count,
    )


async def test_erased_users_are_in_no_list(progress: Progress) -> None:
    await put(progress, "zed")
    async with progress.sql() as sql:
        await insert_users(sql, "'~' || md5(n::text)", 3)
    assert await page(progress, "") == (["zed"], "")
    for prefix in ("~", "name"):
        assert await page(progress, prefix) == ([], "")


async def users_read(connection: AsyncConnection) -> int:
    """How many rows of users this transaction has read, by any index or none."""
    counts = await connection.execute(
        text(
            """SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
               FROM pg_stat_xact_user_tables WHERE relname = 'users'"""
        )
    )
    return int(counts.scalar_one())


async def test_a_list_by_prefix_reads_no_more_than_what_matches(progress: Progress) -> None:
    async with progress.sql() as sql:
        await insert_users(sql, "'u' || n", 20_000)
        await sql.execute("ANALYZE users")
    async with progress.app.database.read() as connection:
        # More than five times: then PostgreSQL may plan without looking at the prefix.
        for _ in range(8):
            for prefix in ("name 1234", "u1234"):
                before = await users_read(connection)
                found = await users.load_page(connection, prefix, "", 50)
                assert len(found) == 11
                # The planner looks at a few of them as well.
                assert await users_read(connection) - before < 50
