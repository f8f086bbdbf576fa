"""What a submission writes is written whole or not at all, and what must hold is a constraint."""

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from progress_service.settings import ProgressSettings
from shared.errors import Unavailable
from tests.conftest import running_progress
from tests.progress import Progress, eventually, held, level, refused, waits_for_lock

TRACES = (
    "attempts",
    "request_keys",
    "level_progress",
    "course_progress",
    "level_rewards",
    "xp_entries",
    "award_references",
)


async def prepared(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"), level("l2"))


async def traces(sql: asyncpg.Connection, user_id: str) -> dict[str, int]:
    """How many rows of the user each table has."""
    found = {
        table: await sql.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user_id)
        for table in TRACES
    }
    found["total"] = await sql.fetchval(
        "SELECT coalesce(sum(total), 0)::bigint FROM user_totals WHERE user_id = $1", user_id
    )
    found["changes"] = await sql.fetchval(
        """SELECT (SELECT count(*) FROM unnumbered_changes WHERE user_id = $1 AND kind = 1)
                + (SELECT count(*) FROM changes WHERE user_id = $1 AND kind = 1)""",
        user_id,
    )
    found["active"] = await sql.fetchval(
        "SELECT (active_days <> '{}')::int FROM users WHERE user_id = $1", user_id
    )
    return found


NOTHING = dict.fromkeys((*TRACES, "total", "changes", "active"), 0)
ONE_LEVEL = NOTHING | {
    "attempts": 1,
    "request_keys": 1,
    "level_progress": 1,
    "course_progress": 1,
    "level_rewards": 1,
    "xp_entries": 2,
    "total": 150,
    "changes": 2,
    "active": 1,
}


async def cut_writers(sql: asyncpg.Connection) -> None:
    """Ends the service's connections that wait for a lock."""
    await sql.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND application_name = 'laurel_progress'"""
    )


@pytest.mark.parametrize("table", ["user_totals", "unnumbered_changes"])
async def test_a_connection_lost_in_the_middle_leaves_nothing_and_a_retry_has_one_effect(
    progress: Progress, table: str
) -> None:
    await prepared(progress)
    await progress.award("ann", 1, request_id="before")
    await progress.settled()
    async with progress.sql() as sql:
        before = await traces(sql, "ann")
        async with sql.transaction():
            # The statement that writes everything comes to a halt within itself.
            await sql.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            call = asyncio.create_task(progress.submit("ann", "l1", request_id="a"))
            await waits_for_lock(progress)
            async with progress.sql() as other:
                await cut_writers(other)
            async with refused(Unavailable, "DATABASE_UNAVAILABLE"):
                await call
            assert await traces(sql, "ann") == before
        answer = await progress.submit("ann", "l1", request_id="a")
        assert (answer.xp_earned, answer.total_xp, answer.replayed) == (50, 51, False)
        assert (await progress.submit("ann", "l1", request_id="a")).replayed
        after = await traces(sql, "ann")
    assert {key: after[key] - before[key] for key in after} == ONE_LEVEL | {"active": 0}
    assert await progress.top() == [(1, "ann", 51)]


async def test_a_statement_that_fails_leaves_nothing_of_anyone_in_its_group(
    progress: Progress,
) -> None:
    await prepared(progress)
    async with progress.sql() as sql:
        await sql.execute("ALTER TABLE unnumbered_changes ADD CHECK (kind <> 1) NOT VALID")
        with capture_logs() as logs:
            for user_id in ("ann", "bob"):
                async with refused(Unavailable, "CONSTRAINT_VIOLATED") as caught:
                    await progress.submit(user_id, "l1", request_id="a")
                assert "unnumbered" not in caught[0].message
        events = [one["event"] for one in logs if one["log_level"] == "error"]
        assert events == ["write failed"] * 2
        assert await traces(sql, "ann") == await traces(sql, "bob") == NOTHING
        await sql.execute(
            "ALTER TABLE unnumbered_changes DROP CONSTRAINT unnumbered_changes_kind_check"
        )
        await progress.submit("ann", "l1", request_id="a")
        assert await traces(sql, "ann") == ONE_LEVEL


async def test_one_that_meets_a_constraint_does_not_fail_the_others_of_its_group(
    postgres_url: str,
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, group_writers=1)
    async with running_progress(settings) as progress, progress.sql() as sql:
        await prepared(progress)
        # Something that reading does not foretell stands where ann's attempt must go.
        await sql.execute(
            "ALTER TABLE attempts ADD CONSTRAINT not_ann CHECK (user_id <> 'ann') NOT VALID"
        )
        with capture_logs() as logs:
            async with held(progress, "ann"):
                first = asyncio.create_task(progress.award("ann", 1))
                await waits_for_lock(progress)
                group = [asyncio.create_task(progress.submit(who, "l1")) for who in ("ann", "bob")]

                async def both_wait() -> bool:
                    return progress.app.committer._count == 3

                await eventually(both_wait, "both submissions wait for the only writer")
            await first
            async with refused(Unavailable, "CONSTRAINT_VIOLATED"):
                await group[0]
            assert (await group[1]).xp_earned == 50
        assert "group failed; one by one" in [one["event"] for one in logs]


async def test_a_level_cannot_be_paid_twice_even_by_hand(progress: Progress) -> None:
    await prepared(progress)
    await progress.submit("ann", "l1")
    async with progress.sql() as sql:
        with pytest.raises(asyncpg.UniqueViolationError):
            await sql.execute("INSERT INTO level_rewards VALUES ('ann', 'l1')")


async def test_keys_that_must_be_unique_for_ever_are_primary_keys(progress: Progress) -> None:
    await prepared(progress)
    await progress.award("ann", 5, reference="week 1", request_id="a")
    async with progress.sql() as sql:
        for table in ("request_keys", "award_references"):
            with pytest.raises(asyncpg.UniqueViolationError):
                await sql.execute(f"INSERT INTO {table} SELECT * FROM {table}")


async def test_the_ledger_refuses_to_be_changed(progress: Progress) -> None:
    await prepared(progress)
    await progress.submit("ann", "l1")
    async with progress.sql() as sql:
        for statement in (
            "UPDATE xp_entries SET amount = amount + 1",
            "DELETE FROM xp_entries",
            "TRUNCATE xp_entries CASCADE",
            "DELETE FROM users",
            "TRUNCATE users",
        ):
            with pytest.raises(asyncpg.RaiseError, match="is refused"):
                await sql.execute(statement)
    assert await progress.totals("ann") == {"xp": 50, "marks": 100}


async def test_no_stored_total_leaves_the_range_of_exact_doubles(progress: Progress) -> None:
    await prepared(progress)
    await progress.award("ann", 1)
    async with progress.sql() as sql:
        for total in (-1, 2**53):
            with pytest.raises(asyncpg.CheckViolationError):
                await sql.execute("UPDATE user_totals SET total = $1", total)
