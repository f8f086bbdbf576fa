"""Folding numbered changes into standings, their buckets, and profiles."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.ledger_write import PROFILE_CHANGE, XP_DELTA

_RANGE = "sequence > :head AND sequence <= :through"
_DELTAS = f"FROM changes WHERE {_RANGE} AND kind = {XP_DELTA}"
# On a course's boards and on those across all courses, in each window kept.
_BOARDS_OF = """
    CROSS JOIN LATERAL board_periods({of}.occurred_date, {of}.windows) p
    CROSS JOIN LATERAL unnest(
        CASE {of}.course_id WHEN '' THEN ARRAY[''] ELSE ARRAY['', {of}.course_id] END
    ) AS k (board_course_id)
"""
_EXPAND = f"""
    combo AS (SELECT DISTINCT metric, course_id, occurred_date, windows FROM batch),
    expanded AS (
        SELECT c.*, k.board_course_id, p.board_window, p.period
        FROM combo c {_BOARDS_OF.format(of="c")}
    )
"""
_NEW_BOARDS = text(
    f"""
    WITH batch AS (SELECT metric, course_id, occurred_date, windows {_DELTAS}), {_EXPAND}
    INSERT INTO boards (metric, course_id, board_window, period)
    SELECT DISTINCT e.metric, e.board_course_id, e.board_window, e.period
    FROM expanded e
    WHERE NOT EXISTS (SELECT FROM boards b
                      WHERE b.metric = e.metric AND b.course_id = e.board_course_id
                        AND b.board_window = e.board_window AND b.period = e.period)
    """
)
# What cancels or replaces an entry does not count on boards that were reset since that one
# counted. That one is before it in the queue, so it has its number by now, pruned or not.
# Cost: for each of them two primary-key look-ups and up to ten boards, and two index look-ups for
# each of these that was ever reset.
_EXCLUDE = text(
    f"""
    WITH reset AS (
        SELECT r.sequence, array_agg(b.board_id ORDER BY b.board_id) AS board_ids
        FROM changes r
        JOIN xp_entries e ON e.entry_id = r.entry_id
        {_BOARDS_OF.format(of="r")}
        JOIN boards b ON b.metric = r.metric AND b.course_id = k.board_course_id
                     AND b.board_window = p.board_window AND b.period = p.period
        WHERE r.sequence > :head AND r.sequence <= :through
          AND r.kind = {XP_DELTA} AND e.of_entry_id IS NOT NULL
          AND b.reset_sequence > 0
          AND b.reset_sequence > (SELECT origin.sequence FROM numbered_changes origin
                                  WHERE origin.entry_id = e.of_entry_id)
        GROUP BY r.sequence
    )
    UPDATE changes SET excluded_boards = reset.board_ids
    FROM reset WHERE changes.sequence = reset.sequence
    """
)
# The end of a statement whose `folded` returns the standings it wrote: from the bucket of the
# score before, if it was on the board, into that of the score now.
COUNT_STEPS = """
    steps AS (
        SELECT f.board_id, score_bucket(v.score) AS bucket, v.step
        FROM folded f
        CROSS JOIN LATERAL (VALUES (f.score, 1), (f.score - f.added, -1)) AS v (score, step)
        WHERE NOT f.hidden AND v.score > 0
    )
    INSERT INTO board_buckets AS b (board_id, bucket, users)
    SELECT board_id, bucket, sum(step) FROM steps
    GROUP BY board_id, bucket HAVING sum(step) <> 0
    ON CONFLICT (board_id, bucket) DO UPDATE SET users = b.users + EXCLUDED.users
"""
# Every change adds to at most ten standings. `added` keeps what the last batch added,
# so the score before it is known without reading or joining anything.
# Cost: about 12 index touches a change.
_FOLD = """
    WITH batch AS MATERIALIZED (
        SELECT user_id, metric, course_id, occurred_date, windows, amount{columns} {deltas}
    ), {expand},
    combo_board AS MATERIALIZED (
        SELECT e.metric, e.course_id, e.occurred_date, e.windows, b.board_id
        FROM expanded e
        JOIN boards b ON b.metric = e.metric AND b.course_id = e.board_course_id
                     AND b.board_window = e.board_window AND b.period = e.period
    ), folded AS (
        INSERT INTO standings AS s (user_id, board_id, score, added, hidden)
        SELECT t.user_id, c.board_id, sum(t.amount), sum(t.amount), bool_or(h.user_id IS NOT NULL)
        FROM batch t
        JOIN combo_board c USING (metric, course_id, occurred_date, windows)
        LEFT JOIN (SELECT user_id FROM profiles WHERE hidden) h ON h.user_id = t.user_id
        {where}
        GROUP BY t.user_id, c.board_id
        ORDER BY t.user_id, c.board_id
        ON CONFLICT (user_id, board_id) DO UPDATE
            SET score = s.score + EXCLUDED.added, added = EXCLUDED.added
        RETURNING board_id, score, added, hidden
    ), {count_steps}
"""
_FOLD_ALL = text(
    _FOLD.format(columns="", deltas=_DELTAS, expand=_EXPAND, where="", count_steps=COUNT_STEPS)
)
# A statement of its own, so that batches without revocations do not pay for them.
_FOLD_EXCLUDING = text(
    _FOLD.format(
        columns=", excluded_boards",
        deltas=_DELTAS,
        expand=_EXPAND,
        where="WHERE t.excluded_boards IS NULL OR c.board_id <> ALL (t.excluded_boards)",
        count_steps=COUNT_STEPS,
    )
)
_FOLD_PROFILES = text(
    f"""
    WITH latest AS (
        SELECT DISTINCT ON (user_id) user_id, display_name, avatar_url, hidden
        FROM changes
        WHERE {_RANGE} AND kind = {PROFILE_CHANGE}
        ORDER BY user_id, sequence DESC
    ), toggled AS (
        SELECT l.user_id, l.hidden FROM latest l LEFT JOIN profiles p USING (user_id)
        WHERE l.hidden <> coalesce(p.hidden, false)
    ), moved AS (
        UPDATE standings s SET hidden = t.hidden FROM toggled t WHERE s.user_id = t.user_id
        RETURNING s.board_id, s.score, s.hidden
    ), counted AS (
        INSERT INTO board_buckets AS b (board_id, bucket, users)
        SELECT board_id, score_bucket(score), sum(CASE WHEN hidden THEN -1 ELSE 1 END)
        FROM moved WHERE score > 0 GROUP BY 1, 2
        ON CONFLICT (board_id, bucket) DO UPDATE SET users = b.users + EXCLUDED.users
    )
    INSERT INTO profiles (user_id, display_name, avatar_url, hidden)
    SELECT user_id, display_name, avatar_url, hidden FROM latest ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET display_name = EXCLUDED.display_name,
        avatar_url = EXCLUDED.avatar_url, hidden = EXCLUDED.hidden
    """
)


async def fold_deltas(
    connection: AsyncConnection, head: int, through: int, *, revocations: bool
) -> None:
    """Folds the credits after `head`, up to `through`, into standings; `revocations`: some cancel
    or replace an entry. Those have their `excluded_boards` afterwards.
    """
    batch = {"head": head, "through": through}
    await connection.execute(_NEW_BOARDS, batch)
    excluding = False
    if revocations:
        excluding = bool((await connection.execute(_EXCLUDE, batch)).rowcount)
    await connection.execute(_FOLD_EXCLUDING if excluding else _FOLD_ALL, batch)


async def fold_profiles(connection: AsyncConnection, head: int, through: int) -> None:
    """Makes the profiles after `head`, up to `through`, those of the head; after the credits."""
    await connection.execute(_FOLD_PROFILES, {"head": head, "through": through})
