"""Migrations keep what is stored, and fill in what they add."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

import progress_service.migrations
from progress_service.migrations import statements
from shared.embedded.postgres import EmbeddedPostgres

VERSIONS = Path(progress_service.migrations.__file__).parent / "versions"
LEVEL = '{{"sections": [{{"levels": [{{"level_id": "l1", "pass_ratio": {}}}]}}]}}'


async def apply(sql: asyncpg.Connection, *revisions: str) -> None:
    for revision in revisions:
        script = (VERSIONS / f"{revision}.sql").read_text(encoding="utf-8")
        for statement in statements(script):
            await sql.execute(statement)


@pytest.fixture
async def older(postgres_server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A database as the release before has it."""
    postgres_server.create_database("older")
    sql = await asyncpg.connect(postgres_server.url("older"))
    try:
        await apply(sql, "0001_ledger", "0002_history")
        yield sql
    finally:
        await sql.close()
        postgres_server.drop_database("older")


async def test_attempts_of_before_have_passed_by_the_version_of_their_time(
    older: asyncpg.Connection,
) -> None:
    await older.execute("INSERT INTO courses (course_id, version) VALUES ('c', 3)")
    for version, (pass_ratio, since) in enumerate([(0.8, 1), (0.5, 10), (1.0, 20)], start=1):
        await older.execute(
            "INSERT INTO course_versions VALUES ('c', $1, $2, make_date(2026, 3, $3))",
            version,
            LEVEL.format(pass_ratio),
            since,
        )
    attempts = [(1, 6, 2), (2, 8, 3), (3, 6, 12), (4, 4, 12), (5, 6, 21), (6, 10, 22)]
    for number, correct, day in attempts:
        await older.execute(
            """INSERT INTO attempts VALUES ($1, 'ann', 'c', 'l1', 'r', $2, 10, 0, 0, false,
                                            now(), make_date(2026, 3, $3))""",
            number,
            correct,
            day,
        )
    await older.execute("INSERT INTO level_progress VALUES ('ann', 'c', 'l1', 10, 6, 0, now(), 50)")
    await older.execute("INSERT INTO level_rewards VALUES ('ann', 'l1')")
    for number, metric in enumerate(("marks", "xp")):
        await older.execute(
            """INSERT INTO xp_entries VALUES ($1, 'ann', $2, 50, 50, 'level', '', 'c', 'l1', 2,
                                              now(), now(), 0, NULL, '', '')""",
            number,
            metric,
        )
    await apply(older, "0003_learning")
    passed = await older.fetch("SELECT attempt_id FROM attempts WHERE passed ORDER BY 1")
    assert [row["attempt_id"] for row in passed] == [2, 3, 6]
    assert await older.fetchval("SELECT attempt_id FROM level_rewards") == 2
    assert await older.fetchval("SELECT best_ratio FROM level_progress") == 1.0
    assert not await older.fetchval("SELECT bool_or(voided) FROM attempts")


async def test_where_a_level_is_not_completed_nothing_has_passed(
    older: asyncpg.Connection,
) -> None:
    """An edit that came between judging an attempt and its commit is dated before it."""
    await older.execute("INSERT INTO courses (course_id, version) VALUES ('c', 2)")
    for version, (pass_ratio, since) in enumerate([(0.8, 1), (0.5, 10)], start=1):
        await older.execute(
            "INSERT INTO course_versions VALUES ('c', $1, $2, make_date(2026, 3, $3))",
            version,
            LEVEL.format(pass_ratio),
            since,
        )
    await older.execute(
        """INSERT INTO attempts VALUES (1, 'ann', 'c', 'l1', 'r', 6, 10, 60, 0, false,
                                        make_date(2026, 3, 10), make_date(2026, 3, 10))"""
    )
    await older.execute("INSERT INTO level_progress VALUES ('ann', 'c', 'l1', 60, 1, 0, NULL, 0)")
    await apply(older, "0003_learning")
    assert not await older.fetchval("SELECT passed FROM attempts")


async def test_a_level_has_earned_what_was_not_revoked(older: asyncpg.Connection) -> None:
    for user_id in ("ann", "bob"):
        await older.execute(
            "INSERT INTO level_progress VALUES ($1, 'c', 'l1', 0, 1, 0, now(), 50)", user_id
        )
    entries = [(1, "ann", 50, None), (2, "bob", 50, None), (3, "ann", -50, 1)]
    for number, user_id, amount, revoked in entries:
        await older.execute(
            """INSERT INTO xp_entries VALUES ($1, $2, 'xp', $3, 0, 'level', '', 'c', 'l1', 1,
                                              now(), now(), 0, $4, '', '')""",
            number,
            user_id,
            amount,
            revoked,
        )
    await apply(older, "0003_learning")
    earned = await older.fetch("SELECT xp_earned FROM level_progress ORDER BY user_id")
    assert [row["xp_earned"] for row in earned] == [0, 50]
    origins = await older.fetch("SELECT of_entry_id FROM xp_entries ORDER BY entry_id")
    assert [row["of_entry_id"] for row in origins] == [None, None, 1]


async def test_results_that_were_carried_over_settle_their_levels(
    older: asyncpg.Connection,
) -> None:
    await older.execute("INSERT INTO courses (course_id, version) VALUES ('c', 1)")
    await older.execute(
        "INSERT INTO course_versions VALUES ('c', 1, $1, '2026-03-01')", LEVEL.format(0.5)
    )
    given = [("ann", 4), ("ann", 6), ("ann", 9), ("bob", 4), ("cyd", 9)]
    for number, (user_id, correct) in enumerate(given):
        await older.execute(
            """INSERT INTO attempts VALUES ($1, $2, 'c', 'l1', 'r', $3, 10, 0, 0, true,
                                            now(), '2026-03-02')""",
            number,
            user_id,
            correct,
        )
    await older.execute("INSERT INTO level_rewards VALUES ('cyd', 'l1')")
    await apply(older, "0003_learning")
    settled = await older.fetch("SELECT user_id, attempt_id FROM level_rewards ORDER BY 1")
    assert [tuple(row) for row in settled] == [("ann", 1), ("cyd", None)]


async def test_acts_of_before_have_no_caller(older: asyncpg.Connection) -> None:
    await apply(older, "0003_learning", "0004_boards")
    act = (
        "INSERT INTO admin_actions (method, actor, user_id, detail) VALUES ('m', 'ann', 'bob', '')"
    )
    await older.execute(act)
    await apply(older, "0005_plausibility")
    assert await older.fetchval("SELECT caller FROM admin_actions") == ""


async def test_an_erasure_of_before_has_its_change(older: asyncpg.Connection) -> None:
    await apply(older, "0003_learning", "0004_boards", "0005_plausibility")
    erase = "laurel.progress.v1.ProgressAdminService/EraseUser"
    acts = [("ann", erase), ("ann", "other"), ("bob", erase), ("ann", erase), ("cat", erase)]
    await older.executemany(
        "INSERT INTO admin_actions (user_id, method, actor, detail) VALUES ($1, $2, '', '')", acts
    )
    await older.execute(
        """INSERT INTO changes (sequence, change_id, kind, user_id, numbered_time)
           VALUES (1, 11, 3, 'ann', now()), (2, 12, 1, 'bob', now()), (3, 13, 3, 'bob', now()),
                  (4, 14, 3, 'ann', now()), (5, 15, 2, 'ann', now())"""
    )
    await older.execute(
        """INSERT INTO unnumbered_changes (change_id, kind, user_id)
           OVERRIDING SYSTEM VALUE VALUES (16, 3, 'cat')"""
    )
    await apply(older, "0006_bounded_history")
    found = await older.fetch("SELECT change_id FROM admin_actions ORDER BY action_id")
    assert [row[0] for row in found] == [None, None, 13, 14, 16]
    assert await older.fetchval("SELECT pruned_sequence FROM history_pruning") == 0


ERASE = "laurel.progress.v1.ProgressAdminService/EraseUser"
BOUNDED = ("0003_learning", "0004_boards", "0005_plausibility", "0006_bounded_history")
# As a release records it that knows of no change of an act.
ACT = "INSERT INTO admin_actions (user_id, method, actor, detail) VALUES ($1, $2, '', '')"


async def test_an_erasure_that_an_older_release_records_has_its_change(
    older: asyncpg.Connection,
) -> None:
    await apply(older, *BOUNDED)
    await older.execute(
        """INSERT INTO changes (sequence, change_id, kind, user_id, numbered_time)
           VALUES (1, 11, 3, 'ann', now()), (2, 13, 3, 'bob', now()), (3, 14, 2, 'bob', now())"""
    )
    queue = """INSERT INTO unnumbered_changes (change_id, kind, user_id)
               OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3)"""
    await older.execute(queue, 15, 3, "cat")
    before = [("ann", ERASE), ("ann", "other"), ("bob", ERASE), ("bob", ERASE), ("cat", ERASE)]
    await older.executemany(ACT, before)
    await apply(older, "0007_upgrades")
    await older.execute(queue, 16, 3, "ann")
    await older.execute(queue, 17, 2, "ann")
    await older.executemany(ACT, [("ann", ERASE), ("ann", "other")])
    found = await older.fetch("SELECT change_id FROM admin_actions ORDER BY action_id")
    assert [row[0] for row in found] == [11, None, None, 13, 15, 16, None]


@pytest.mark.parametrize("changes", [0, 1])
async def test_nothing_is_pruned_for_a_day_where_there_is_a_history_already(
    older: asyncpg.Connection, changes: int
) -> None:
    await apply(older, *BOUNDED)
    await older.execute(
        """INSERT INTO changes (sequence, change_id, kind, user_id, numbered_time)
           SELECT n, n, 2, 'ann', now() FROM generate_series(1, $1::int) n""",
        changes,
    )
    await apply(older, "0007_upgrades")
    assert await older.fetchval(
        """SELECT CASE $1::int WHEN 0 THEN not_before = '-infinity'
                  ELSE not_before BETWEEN now() + interval '23 hours' AND now() + interval '1 day'
                  END FROM history_pruning""",
        changes,
    )


async def test_what_completed_a_level_has_passed_whatever_the_versions_say(
    older: asyncpg.Connection,
) -> None:
    for number, minute in ((1, 0), (2, 1)):
        await older.execute(
            """INSERT INTO attempts VALUES ($1, 'ann', 'c', 'l1', 'r', 5, 10, 50, 0, false,
                                            make_timestamptz(2026, 3, 1, 12, $2, 0))""",
            number,
            minute,
        )
    await older.execute(
        """INSERT INTO level_progress VALUES ('ann', 'c', 'l1', 50, 2, 0,
                                              make_timestamptz(2026, 3, 1, 12, 1, 0), 0)"""
    )
    await apply(older, "0003_learning")
    passed = await older.fetch("SELECT attempt_id FROM attempts WHERE passed")
    assert [row["attempt_id"] for row in passed] == [2]
