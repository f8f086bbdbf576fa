"""The loop that verifies all the time: what it finds is counted and logged, and nobody waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from progress_service import metrics, verifier
from progress_service.settings import ProgressSettings
from progress_service.store.database import Database, Purpose, connection_budgets
from progress_service.verifier import Verifier
from tests.audit import XP, damage, scene
from tests.progress import Progress, eventually

FAST = 100_000.0


@asynccontextmanager
async def verifying(
    database: Database, users_per_s: float = FAST, least_lap_s: float = 0.0
) -> AsyncIterator[Verifier]:
    loop = Verifier(database, users_per_s, first_pause_s=0, least_lap_s=least_lap_s)
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def counted(kind: str) -> float:
    return float(metrics.MISMATCHES.labels(kind)._value.get())


def checked() -> float:
    return float(metrics.VERIFIED_USERS._value.get())


async def until_checked(users: int) -> None:
    before = checked()

    async def enough() -> bool:
        return checked() - before >= users

    await eventually(enough, f"{users} users are verified")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    with capture_logs() as caught:
        monkeypatch.setattr(verifier, "log", structlog.get_logger())
        yield caught


async def test_what_differs_is_counted_by_kind_and_logged_with_all_there_is_to_know(
    progress: Progress, lines: list[Any]
) -> None:
    await scene(progress)
    await damage(
        progress,
        "UPDATE user_totals SET total = 7 WHERE user_id = 'ann' AND metric = 'xp'",
        f"UPDATE standings SET score = 8 WHERE user_id = 'bob' AND {XP}",
        "UPDATE level_progress SET attempts = 9 WHERE user_id = 'ann'",
        "UPDATE course_progress SET marks = 7 WHERE user_id = 'ann'",
    )
    position = await progress.settled()
    kinds = ("total", "standing", "level_progress", "course_progress")
    before = {kind: counted(kind) for kind in kinds}
    async with verifying(progress.app.database):
        await until_checked(6)
    told = {line["kind"]: line for line in lines if line["event"] == "figure differs"}
    at = {"epoch": position.epoch, "sequence": position.sequence}
    for kind, about in {
        "total": {"user_id": "ann", "board": "xp//all_time/", "expected": 80, "found": 7},
        "standing": {"user_id": "bob", "board": "xp//all_time/", "expected": 20, "found": 8},
        "level_progress": {"user_id": "ann", "level_id": "l1", "figure": "attempts", "found": 9},
        "course_progress": {"user_id": "ann", "course_id": "c", "figure": "marks", "found": 7},
    }.items():
        assert told[kind].items() >= {**about, **at, "log_level": "error"}.items()
        assert counted(kind) > before[kind]


async def test_it_goes_through_all_users_and_begins_anew(progress: Progress) -> None:
    await progress.put_users(*[f"u{n:03}" for n in range(120)])
    async with verifying(progress.app.database):
        await until_checked(300)
        await damage(progress, "INSERT INTO user_totals VALUES ('u119', 'xp', 1)")
        before = counted("total")
        await until_checked(240)
    assert counted("total") > before


async def test_it_does_not_begin_anew_before_its_time(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    before = checked()
    async with verifying(progress.app.database, least_lap_s=3600):
        await until_checked(2)
        await progress.put_users("cyd")
        await progress.settled()
    assert checked() == before + 2


async def test_a_pace_of_0_switches_it_off(progress: Progress) -> None:
    await asyncio.wait_for(Verifier(progress.app.database, 0).run(), timeout=5)


async def test_it_uses_no_connection_of_others(progress: Progress) -> None:
    await scene(progress)
    async with progress.sql() as sql, sql.transaction():
        await sql.execute("LOCK TABLE user_totals IN ACCESS EXCLUSIVE MODE")
        async with verifying(progress.app.database):

            async def waits() -> bool:
                return bool(
                    await sql.fetchval(
                        """SELECT count(*) = 1 FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'"""
                    )
                )

            await eventually(waits, "the loop waits for the table")
            budgets = connection_budgets(progress.app.settings)
            in_use = {one: slots.in_use for one, slots in progress.app.database._slots.items()}
            assert in_use == {**dict.fromkeys(budgets, 0), Purpose.AUDIT: 1}
            await progress.put_users("dan")


async def test_after_a_failure_it_waits_and_tries_again(
    progress: Progress, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene(progress)
    monkeypatch.setattr(verifier, "_FIRST_FAILURE_PAUSE_S", 0.01)
    before = metrics.VERIFIER_FAILURES._value.get()

    async def failed() -> bool:
        return bool(metrics.VERIFIER_FAILURES._value.get() > before)

    await damage(progress, "ALTER TABLE user_totals RENAME TO user_totals_elsewhere")
    async with verifying(progress.app.database):
        await eventually(failed, "a range could not be verified")
        await damage(progress, "ALTER TABLE user_totals_elsewhere RENAME TO user_totals")
        await until_checked(6)
    errors = [line["event"] for line in lines if line["log_level"] == "error"]
    assert set(errors) == {"verifier failed"}


async def test_a_user_who_cannot_be_verified_is_passed_over(
    progress: Progress, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"u{n:02}" for n in range(60)]
    await progress.put_users(*users)
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    await progress.award("u07", 1, occurred_time=moment)
    await progress.settled()
    monkeypatch.setattr(verifier, "_FIRST_FAILURE_PAUSE_S", 0.001)
    await damage(
        progress,
        """CREATE OR REPLACE FUNCTION board_periods(day date, mask smallint)
           RETURNS TABLE (board_window smallint, period text) LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'of no day'; END $$""",
        "INSERT INTO user_totals VALUES ('u59', 'xp', 1)",
    )
    before = counted("total")
    async with verifying(progress.app.database):

        async def found() -> bool:
            return counted("total") > before

        await eventually(found, "what comes after that user is verified")
    failed = [line for line in lines if line["event"] == "verifier failed"]
    assert (1, "u06") in [(line["users"], line["after_user_id"]) for line in failed]


async def test_without_a_database_it_goes_on_trying() -> None:
    settings = ProgressSettings(postgres_url="postgresql://127.0.0.1:1/none")
    database = Database(settings)
    before = metrics.VERIFIER_FAILURES._value.get()

    async def failed() -> bool:
        return bool(metrics.VERIFIER_FAILURES._value.get() > before)

    async with verifying(database):
        await eventually(failed, "the database does not answer")
    await database.close()
