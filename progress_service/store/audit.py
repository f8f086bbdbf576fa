"""What is stored held against what it follows from: totals and standings against the ledger,
progress at levels against the attempts and the ledger, sums over courses against that progress.

One set of statements for verifying, watching and mending. Each sees one snapshot, so writers
and the sequencer may go on meanwhile.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.ledger import LEVEL_SOURCE, MARKS, XP
from progress_service.store.ledger_write import STANDING_CORRECTION, USER_ERASURE, WINDOW_RESET
from progress_service.store.mismatches import Kind, Mismatch, WrongStanding
from progress_service.store.user_ranges import OfUsers, Users
from shared.periods import Window

_CHUNK = 500
"""Rows that are taken together."""

# Whatever was planned while the tables were small must not be used when they are large.
_SETTINGS = text(
    """SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
              set_config('work_mem', '64MB', true)"""
)
_UNHURRIED = text("SELECT set_config('statement_timeout', '10min', true)")


def _bounded(total: str) -> str:
    """SQL: the sum as the contract's int64; what damage has made larger is as large as that."""
    return f"greatest(least({total}, {2**63 - 1}), {-(2**63)})::bigint"


def _both(figure: str, aggregate: str) -> str:
    """SQL: a figure as expected and as found, of rows that say which they are; 0: there is none."""
    return f"""coalesce({aggregate} FILTER (WHERE NOT found), 0) AS {figure},
               coalesce({aggregate} FILTER (WHERE found), 0) AS {figure}_found"""


# Cost: the users' entries and totals, read once each. Index: xp_entries_user, user_totals_pkey.
_TOTALS = OfUsers(f"""
    SELECT user_id, metric, {_bounded("sum(expected)")} AS expected,
           {_bounded("sum(found)")} AS found
    FROM (SELECT e.user_id, e.metric, e.amount AS expected, 0 AS found
          FROM xp_entries e WHERE {{e}}
          UNION ALL
          SELECT t.user_id, t.metric, 0, t.total FROM user_totals t WHERE {{t}}) AS sides
    GROUP BY user_id, metric HAVING sum(expected) <> sum(found)
    ORDER BY user_id, metric
""")
# What an entry counts on, as the sequencer folds it: every window kept, with the course and
# without; on a board that was reset only entries that were numbered since, and of what cancels
# or replaces an entry only what is of such an entry. `pending`: of entries that have no number
# yet.
#
# The entries are grouped by what decides their boards, and unfolded again board by board, so
# that nothing large is joined with anything large: a plan made without statistics cannot be
# much worse than the best one. The sequences are looked up one by one for the same reason.
# `missing`: a board without a row, spelled out; '/' occurs in no id.
# Cost: about 5 microseconds for each standing.
# Index: xp_entries_user, changes_entry, pruned_changes_entry, standings_pkey.
_STANDINGS = OfUsers(f"""
    WITH entries AS (
        SELECT e.user_id, e.metric, e.course_id, e.occurred_date, e.windows, e.amount,
               (SELECT sequence FROM numbered_changes n WHERE n.entry_id = e.entry_id) AS sequence,
               CASE WHEN e.of_entry_id IS NOT NULL THEN
                   (SELECT c.sequence FROM numbered_changes c WHERE c.entry_id = e.of_entry_id)
                   END AS of_sequence
        FROM xp_entries e WHERE {{e}} AND e.user_id < '~'
    ), grouped AS MATERIALIZED (
        SELECT metric, course_id, occurred_date, windows, array_agg(user_id) AS user_ids,
               array_agg(amount) AS amounts, array_agg(sequence) AS sequences,
               array_agg(of_sequence) AS of_sequences
        FROM entries GROUP BY metric, course_id, occurred_date, windows
    ), sides AS (
        SELECT t.user_id, b.board_id,
               CASE WHEN b.board_id IS NULL THEN
                   concat_ws('/', g.metric, k.board_course_id, p.board_window, p.period)
                   END AS missing,
               CASE WHEN t.sequence IS NOT NULL THEN t.amount ELSE 0 END AS expected,
               CASE WHEN t.sequence IS NULL THEN t.amount ELSE 0 END AS pending,
               0 AS found
        FROM grouped g
        CROSS JOIN LATERAL board_periods(g.occurred_date, g.windows) p
        CROSS JOIN LATERAL unnest(
            CASE g.course_id WHEN '' THEN ARRAY[''] ELSE ARRAY['', g.course_id] END
        ) AS k (board_course_id)
        LEFT JOIN boards b ON b.metric = g.metric AND b.course_id = k.board_course_id
                          AND b.board_window = p.board_window AND b.period = p.period
        CROSS JOIN LATERAL unnest(g.user_ids, g.amounts, g.sequences, g.of_sequences)
            AS t (user_id, amount, sequence, of_sequence)
        WHERE coalesce(t.sequence > b.reset_sequence, true)
          AND coalesce(t.of_sequence > b.reset_sequence, true)
        UNION ALL
        SELECT s.user_id, s.board_id, NULL, 0, 0, s.score FROM standings s WHERE {{s}}
    ), differing AS (
        SELECT user_id, board_id, missing, {_bounded("sum(expected)")} AS expected,
               {_bounded("sum(pending)")} AS pending, {_bounded("sum(found)")} AS found
        FROM sides GROUP BY user_id, board_id, missing HAVING sum(expected) <> sum(found)
    ), named AS (
        SELECT d.user_id, d.expected, d.pending, d.found,
               coalesce(b.metric, split_part(d.missing, '/', 1), '') AS metric,
               coalesce(b.course_id, split_part(d.missing, '/', 2), '') AS course_id,
               coalesce(b.board_window, split_part(d.missing, '/', 3)::smallint, 1::smallint)
                   AS board_window,
               coalesce(b.period, split_part(d.missing, '/', 4), '') AS period
        FROM differing d LEFT JOIN boards b ON b.board_id = d.board_id
    )
    SELECT n.*,
           EXISTS (SELECT FROM unnumbered_changes u WHERE u.kind = {WINDOW_RESET}
                   AND (u.metric, u.course_id, u.board_window, u.period)
                       = (n.metric, n.course_id, n.board_window, n.period)) AS being_reset,
           EXISTS (SELECT FROM unnumbered_changes u WHERE u.user_id = n.user_id
                   AND u.kind = {STANDING_CORRECTION}
                   AND (u.metric, u.course_id, u.board_window, u.period)
                       = (n.metric, n.course_id, n.board_window, n.period)) AS being_corrected
    FROM named n
    WHERE NOT EXISTS (SELECT FROM unnumbered_changes u
                      WHERE u.user_id = n.user_id AND u.kind = {USER_ERASURE})
    ORDER BY n.user_id, n.metric, n.course_id, n.board_window, n.period
""")
# A level is completed by an attempt that passed: when it arrived, or by an edit or a withdrawal
# since, which say so of the attempt. It has earned what the ledger has of its XP, without what
# is cancelled. It has paid, once for all, what was not cancelled by withdrawing an attempt (such
# an entry names the attempt, and cancels one that is counted beside it): then it has its key.
# A key may be there without entries, so it is not looked at from that side.
# `found`: as stored, of what is expected. All sides are grouped together, rather than joined.
# Cost: the users' attempts, entries, progress and keys, read once each. Index: attempts_user,
# xp_entries_user, level_progress_pkey, level_rewards_pkey.
_LEVELS = OfUsers(f"""
    WITH sides AS MATERIALIZED (
        SELECT a.user_id, a.course_id, a.level_id, false AS found, 1 AS attempts,
               a.marks AS best_marks, a.passed::int AS completed, NULL::int AS rewarded,
               a.time_spent_ms, NULL::bigint AS xp_earned
        FROM attempts a WHERE {{a}} AND NOT a.voided AND NOT a.under_review
        UNION ALL
        SELECT e.user_id, e.course_id, e.level_id, false, NULL, NULL, NULL,
               CASE WHEN e.revokes_entry_id IS NULL THEN 1
                    WHEN e.attempt_id IS NOT NULL THEN -1 END,
               NULL, CASE e.metric WHEN '{XP}' THEN e.amount END
        FROM xp_entries e WHERE {{e}} AND e.source = '{LEVEL_SOURCE}' AND e.metric <> '{MARKS}'
        UNION ALL
        SELECT p.user_id, p.course_id, p.level_id, true, p.attempts, p.best_marks,
               (p.complete_time IS NOT NULL)::int, NULL, p.time_spent_ms, p.xp_earned
        FROM level_progress p WHERE {{p}}
        UNION ALL
        SELECT r.user_id, NULL, r.level_id, true, NULL, NULL, NULL, 1, NULL, NULL
        FROM level_rewards r WHERE {{r}}
    ), levels AS (
        SELECT user_id, level_id, max(course_id) AS course_id,
               {_both("attempts", "sum(attempts)")},
               {_both("best_marks", "max(best_marks)")},
               {_both("completed", "max(completed)")},
               {_both("rewarded", "sum(rewarded)")},
               {_both("time_spent_ms", "sum(time_spent_ms)")},
               {_both("xp_earned", "sum(xp_earned)")}
        FROM sides GROUP BY user_id, level_id
    )
    SELECT user_id, course_id, level_id, f.figure, {_bounded("f.expected")} AS expected,
           {_bounded("f.found")} AS found
    FROM levels l CROSS JOIN LATERAL (VALUES
        ('attempts', l.attempts, l.attempts_found),
        ('best_marks', l.best_marks, l.best_marks_found),
        ('completed', l.completed, l.completed_found),
        ('rewarded', least(l.rewarded, 1), least(l.rewarded, l.rewarded_found)),
        ('time_spent_ms', l.time_spent_ms, l.time_spent_ms_found),
        ('xp_earned', l.xp_earned, l.xp_earned_found)
    ) AS f (figure, expected, found)
    WHERE f.expected <> f.found
    ORDER BY user_id, level_id, f.figure
""")
# The sums over the levels that the course's current version has; those that were judged by an
# older one are still to be judged, and passed over. Where there are no sums, none were expected.
# Cost: the users' progress, read once, and the definition of each course that they are in.
# Index: course_progress_pkey, level_progress_pkey.
_COURSES = OfUsers(f"""
    WITH stored AS MATERIALIZED (
        SELECT c.user_id, c.course_id, c.course_version, c.levels_completed, c.marks
        FROM course_progress c WHERE {{c}}
    ), tried AS MATERIALIZED (
        SELECT p.user_id, p.course_id, p.level_id, p.complete_time, p.best_marks
        FROM level_progress p WHERE {{p}}
    ), current AS MATERIALIZED (
        SELECT course_id, version, v.definition FROM courses JOIN course_versions v
               USING (course_id, version)
        WHERE course_id IN (SELECT course_id FROM stored UNION SELECT course_id FROM tried)
    ), levels AS MATERIALIZED (
        SELECT course_id, one.level_id #>> '{{{{}}}}' AS level_id FROM current
        CROSS JOIN LATERAL jsonb_path_query(
            definition, '$.sections[*].levels[*].level_id'
        ) AS one (level_id)
    ), sums AS MATERIALIZED (
        SELECT t.user_id, course_id, count(t.complete_time) AS levels_completed,
               {_bounded("sum(t.best_marks)")} AS marks
        FROM tried t JOIN levels USING (course_id, level_id) GROUP BY t.user_id, course_id
    )
    SELECT user_id, course_id, f.figure, coalesce(f.expected, 0) AS expected,
           coalesce(f.found, 0) AS found
    FROM sums e FULL JOIN stored s USING (user_id, course_id) JOIN current USING (course_id)
    CROSS JOIN LATERAL (VALUES
        ('levels_completed', e.levels_completed, s.levels_completed),
        ('marks', e.marks, s.marks)
    ) AS f (figure, expected, found)
    WHERE coalesce(s.course_version, version) = version
      AND coalesce(f.expected, 0) <> coalesce(f.found, 0)
    ORDER BY user_id, course_id, f.figure
""")

Each = Callable[[Mismatch], None]


async def prepare(connection: AsyncConnection, *, unhurried: bool = False) -> None:
    """Sets the transaction up for what follows; once. `unhurried`: it holds nobody, and must not
    fail for a single user who holds very much.
    """
    await connection.execute(_SETTINGS)
    if unhurried:
        await connection.execute(_UNHURRIED)


async def compare(connection: AsyncConnection, users: Users, each: Each) -> None:
    """Calls `each` for every mismatch of the users, in a transaction that is `prepare`d.

    All of one position if the transaction sees one snapshot. Rows are taken a few at a time,
    however many there are; what `each` raises ends it.
    """
    await compare_totals(connection, users, each)
    await compare_standings(connection, users, lambda one: each(one.mismatch))
    await _each_row(connection, _LEVELS, users, lambda row: each(_level(row)))
    await _each_row(connection, _COURSES, users, lambda row: each(_course(row)))


async def compare_totals(connection: AsyncConnection, users: Users, each: Each) -> None:
    """Totals against the ledger; a missing one counts as 0."""
    await _each_row(connection, _TOTALS, users, lambda row: each(_total(row)))


async def compare_standings(
    connection: AsyncConnection, users: Users, each: Callable[[WrongStanding], None]
) -> None:
    """Standings against the numbered entries of the ledger; a missing one counts as 0.

    One statement, so that nothing is numbered in the middle. An erased user has none; nor is
    one looked at whose erasure has no number yet.
    """
    await _each_row(connection, _STANDINGS, users, lambda row: each(_standing(row)))


async def _each_row(
    connection: AsyncConnection, comparison: OfUsers, users: Users, each: Callable[[Any], None]
) -> None:
    rows = await connection.stream(*comparison.of(users))
    try:
        async for chunk in rows.partitions(_CHUNK):
            for row in chunk:
                each(row)
    finally:
        await rows.close()


def _total(row: Any) -> Mismatch:
    return Mismatch(
        Kind.TOTAL,
        row.user_id,
        row.expected,
        row.found,
        metric=row.metric,
        window=Window.ALL_TIME,
    )


def _standing(row: Any) -> WrongStanding:
    mismatch = Mismatch(
        Kind.STANDING,
        row.user_id,
        row.expected,
        row.found,
        metric=row.metric,
        course_id=row.course_id,
        window=row.board_window,
        period=row.period,
    )
    return WrongStanding(mismatch, row.pending, row.being_reset, row.being_corrected)


def _level(row: Any) -> Mismatch:
    return _course(row)._replace(kind=Kind.LEVEL_PROGRESS, level_id=row.level_id)


def _course(row: Any) -> Mismatch:
    return Mismatch(
        Kind.COURSE_PROGRESS,
        row.user_id,
        row.expected,
        row.found,
        course_id=row.course_id,
        figure=row.figure,
    )
