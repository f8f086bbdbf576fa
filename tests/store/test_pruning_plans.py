"""What looking into a pruned history costs, by PostgreSQL's own plans: two index look-ups each."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import TextClause

from progress_service.store import (
    audit,
    erasures,
    folding,
    history,
    history_pruning,
    positions,
    stats,
    written,
)
from tests.plans import Scan, scans, scans_within
from tests.progress import Progress

KEPT, GONE = 30_000, 30_000
"""Changes: enough that a pass over either table would be the worse plan by far."""
TABLES = {"changes", "pruned_changes"}


@pytest.fixture
async def pruned(progress: Progress) -> AsyncIterator[Progress]:
    """A ledger of 60,000 entries, 3 of a user, whose first half is pruned."""
    async with progress.numbering_held(), progress.sql() as sql:
        await sql.execute(
            """INSERT INTO users (user_id, display_name, avatar_url, time_zone, hidden)
               SELECT 'u' || n, '', '', 'UTC', false FROM generate_series(1, 20000) n"""
        )
        await sql.execute(
            """INSERT INTO xp_entries (entry_id, user_id, metric, amount, total_after, source,
                   reference, course_id, level_id, occurred_time, occurred_date, windows, reason,
                   actor, of_entry_id)
               SELECT n, 'u' || 1 + n % 20000, 'xp', 1, 1, 'test', '', '', '', now(), '2026-03-05',
                      2, '', '', CASE WHEN n % 1000 = 0 THEN n - 500 END
               FROM generate_series(1, 60000) n"""
        )
        await sql.execute(
            """INSERT INTO changes (sequence, change_id, kind, user_id, entry_id, metric, amount,
                   source, course_id, occurred_time, occurred_date, windows, numbered_time)
               SELECT entry_id, entry_id, 1, user_id, entry_id, metric, amount, source, course_id,
                      occurred_time, occurred_date, windows, now() - interval '9 days'
               FROM xp_entries ORDER BY entry_id"""
        )
        await sql.execute("UPDATE history SET head_sequence = 60000")
        await sql.execute(
            """INSERT INTO boards (metric, course_id, board_window, period, reset_sequence)
               VALUES ('xp', '', 1, '', 20000)"""
        )
        await sql.execute(
            """INSERT INTO pruned_changes
               SELECT sequence, CASE WHEN sequence % 5 = 0 THEN change_id END,
                      CASE WHEN sequence % 5 <> 0 THEN entry_id END
               FROM changes WHERE sequence <= 30000"""
        )
        await sql.execute("DELETE FROM changes WHERE sequence <= 30000")
        await sql.execute("UPDATE history_pruning SET pruned_sequence = 30000")
        await sql.execute("VACUUM ANALYZE")
        yield progress


async def of_history(progress: Progress, statement: TextClause, **params: Any) -> list[Scan]:
    """The scans of either table of the history."""
    found = await scans(progress.app.database, statement, params)
    return [scan for scan in found if scan.table in TABLES]


async def test_a_write_and_a_change_are_found_by_one_look_up_in_each_table(
    pruned: Progress,
) -> None:
    entry = {("changes", "changes_entry"), ("pruned_changes", "pruned_changes_entry")}
    change = {("changes", "changes_change"), ("pruned_changes", "pruned_changes_change")}
    for number in (7, 59_999):
        for statement, params, indexes in (
            (written._ENTRY, {"id": number}, entry),
            (written._PROFILE, {"id": number}, change),
            (positions._CHANGE, {"change_id": number}, change),
        ):
            found = await of_history(pruned, statement, **params)
            assert {(scan.table, scan.index) for scan in found} == indexes
            assert sum(scan.rows for scan in found) <= 1


async def test_the_tenure_that_gave_a_number_is_found_among_many_by_one_look_up(
    pruned: Progress,
) -> None:
    async with pruned.sql() as sql:
        await sql.execute(
            """INSERT INTO tenures (epoch, after_sequence)
               SELECT gen_random_uuid(), n * 5 FROM generate_series(1, 10000) n"""
        )
        await sql.execute("VACUUM ANALYZE tenures")
        for number in (17, 30_000, 59_999):
            found = await scans(
                pruned.app.database, positions._CHANGE, {"change_id": number - number % 5}
            )
            tenures = [(scan.index, scan.rows) for scan in found if scan.table == "tenures"]
            assert tenures == [("tenures_after", 1)]


async def test_an_audit_looks_up_the_sequences_of_its_users_entries_alone(
    pruned: Progress,
) -> None:
    statement, params = audit._STANDINGS.of([f"u{n}" for n in range(1, 51)])
    found = await of_history(pruned, statement, **params)
    assert {scan.index for scan in found} == {"changes_entry", "pruned_changes_entry"}
    assert 100 <= sum(scan.rows for scan in found) <= 150


async def test_stats_look_up_what_is_cancelled_and_nothing_else(pruned: Progress) -> None:
    async with pruned.sql() as sql:
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source,
                   course_id, occurred_time, occurred_date, windows, of_entry_id)
               VALUES (1, 'u9', 70001, 'xp', -1, 'test', '', now(), '2026-03-05', 2, 8)"""
        )
    params = {"user_id": "u9", "windows": [1], "periods": [""]}
    found = await of_history(pruned, stats._UNNUMBERED, **params)
    assert {scan.index for scan in found} == {"changes_entry", "pruned_changes_entry"}
    assert sum(scan.rows for scan in found) == 1


async def test_a_fold_looks_up_the_origins_of_its_batch_alone(pruned: Progress) -> None:
    batch = {"head": 59_000, "through": 60_000}
    async with pruned.app.database.engine.connect() as connection:
        found = await scans_within(connection, folding._EXCLUDE, batch)
        await connection.rollback()
    looked_up = [scan for scan in found if scan.index.endswith("_entry")]
    assert {scan.index for scan in looked_up} == {"changes_entry", "pruned_changes_entry"}
    read = [scan for scan in found if scan.table == "changes" and scan not in looked_up]
    assert {scan.index for scan in read} == {"changes_pkey"}
    assert sum(scan.rows for scan in read) <= 1_001


async def test_an_erasure_of_long_ago_is_found_by_the_user(pruned: Progress) -> None:
    async with pruned.sql() as sql:
        await sql.execute(
            """INSERT INTO admin_actions (method, actor, user_id, detail, change_id)
               SELECT 'laurel.progress.v1.ProgressAdminService/EraseUser', '', 'v' || n, '', n
               FROM generate_series(1, 20000) n"""
        )
        await sql.execute("VACUUM ANALYZE admin_actions")
    found = await scans(pruned.app.database, erasures._ERASED, {"user_id": "v77"})
    assert [(scan.index, scan.rows) for scan in found] == [("admin_actions_user", 1)]


async def test_a_watcher_reads_no_more_than_a_message_wherever_it_stands(
    pruned: Progress,
) -> None:
    for after, rows in ((0, 0), (29_500, 500), (45_000, 1_000)):
        found = await of_history(pruned, history._READ, after=after, last=after + 1_000)
        assert [(scan.index, scan.rows) for scan in found] == [("changes_pkey", rows)]


async def test_a_pruner_reads_its_batch_alone_and_no_dead_rows(pruned: Progress) -> None:
    batch = {"after": 30_000, "last": 35_000}
    young = await of_history(pruned, history_pruning._FIRST_YOUNG, **batch, keep=timedelta(days=1))
    assert [(scan.index, scan.rows) for scan in young] == [("changes_pkey", 5_000)]
    async with pruned.app.database.engine.connect() as connection:
        found = await scans_within(connection, history_pruning._PRUNE, batch)
        await connection.rollback()
    read = [(scan.index, scan.rows) for scan in found if scan.table == "changes"]
    assert read == [("changes_pkey", 5_000)]
