"""The ordered history: numbering, folding into standings, and reading it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.ledger_write import PROFILE_CHANGE, XP_DELTA
from shared.errors import OutOfRange

CHANNEL = "laurel_history"
"""NOTIFY channel: wakes publishers; missing a message delays and loses nothing."""

_LOCK_KEY = 0x4C61_7572_656C_0002

_HELD = text(
    """SELECT holder IS DISTINCT FROM :holder
              AND lease_until > clock_timestamp()
              AND EXISTS (SELECT FROM pg_stat_activity a
                          WHERE a.pid = holder_pid AND a.backend_start = holder_start)
       FROM history"""
)
_WAITS = text("SELECT EXISTS (SELECT FROM unnumbered_changes)")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
# The sequencer's commits are always durable: a number once sent must never be given again.
_SETTINGS = text(
    """SELECT set_config('synchronous_commit',
                      CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                           ELSE current_setting('synchronous_commit') END, true),
              set_config('idle_in_transaction_session_timeout', '10s', true)"""
)
_HOLD = text(
    """SELECT head_sequence, holder, holder_pid = pg_backend_pid() AS same_connection,
              lease_until > clock_timestamp()
                  AND EXISTS (SELECT FROM pg_stat_activity a
                              WHERE a.pid = holder_pid AND a.backend_start = holder_start) AS held
       FROM history FOR NO KEY UPDATE"""
)
_BEGIN_TENURE = text(
    """WITH tenure AS (
           INSERT INTO tenures (epoch, after_sequence) VALUES (:epoch, :head) RETURNING epoch
       )
       UPDATE history SET epoch = :epoch, holder = :holder, holder_pid = a.pid,
           holder_start = a.backend_start,
           lease_until = clock_timestamp() + make_interval(secs => :lease)
       FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()"""
)
_RENEW = text(
    """UPDATE history SET lease_until = clock_timestamp() + make_interval(secs => :lease)"""
)
_ADVANCE = text(
    """UPDATE history SET head_sequence = :head, head_time = now(),
           lease_until = clock_timestamp() + make_interval(secs => :lease)"""
)
_NOTIFY = text("SELECT pg_notify(:channel, :head)")

_COLUMNS = """kind, user_id, entry_id, metric, amount, source, course_id, occurred_time,
              occurred_date, windows, display_name, avatar_url, hidden"""
# Insertion order is each user's own order: a change is inserted while its user is locked.
# Cost: one pass over the batch; index: the queue's primary key.
_NUMBER = text(
    f"""
    WITH next AS (
        SELECT change_id FROM unnumbered_changes ORDER BY change_id LIMIT :limit
    ), taken AS (
        DELETE FROM unnumbered_changes u USING next WHERE u.change_id = next.change_id
        RETURNING u.*
    ), numbered AS (
        INSERT INTO changes (sequence, change_id, numbered_time, {_COLUMNS})
        SELECT :head + row_number() OVER (ORDER BY change_id), change_id, now(), {_COLUMNS}
        FROM taken
        RETURNING kind
    )
    SELECT count(*) AS changes, coalesce(bool_or(kind = {PROFILE_CHANGE}), false) AS profiles
    FROM numbered
    """
)
_BATCH = f"FROM changes WHERE sequence > :head AND sequence <= :through AND kind = {XP_DELTA}"
_EXPAND = """
    combo AS (SELECT DISTINCT metric, course_id, occurred_date, windows FROM batch),
    expanded AS (
        SELECT c.*, k.board_course_id, p.board_window, p.period
        FROM combo c
        CROSS JOIN LATERAL board_periods(c.occurred_date, c.windows) p
        CROSS JOIN LATERAL unnest(
            CASE c.course_id WHEN '' THEN ARRAY[''] ELSE ARRAY['', c.course_id] END
        ) AS k (board_course_id)
    )
"""
_NEW_BOARDS = text(
    f"""
    WITH batch AS (SELECT metric, course_id, occurred_date, windows {_BATCH}), {_EXPAND}
    INSERT INTO boards (metric, course_id, board_window, period)
    SELECT DISTINCT e.metric, e.board_course_id, e.board_window, e.period
    FROM expanded e
    WHERE NOT EXISTS (SELECT FROM boards b
                      WHERE b.metric = e.metric AND b.course_id = e.board_course_id
                        AND b.board_window = e.board_window AND b.period = e.period)
    """
)
# The fold: every change adds to at most ten standings. `added` keeps what the last batch added,
# so the score before it is known without reading or joining anything.
# Cost: about 12 index touches a change.
_FOLD = text(
    f"""
    WITH batch AS MATERIALIZED (
        SELECT user_id, metric, course_id, occurred_date, windows, amount {_BATCH}
    ), {_EXPAND},
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
        GROUP BY t.user_id, c.board_id
        ORDER BY t.user_id, c.board_id
        ON CONFLICT (user_id, board_id) DO UPDATE
            SET score = s.score + EXCLUDED.added, added = EXCLUDED.added
        RETURNING board_id, score, added, hidden
    ), steps AS (
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
)
_FOLD_PROFILES = text(
    f"""
    WITH latest AS (
        SELECT DISTINCT ON (user_id) user_id, display_name, avatar_url, hidden
        FROM changes
        WHERE sequence > :head AND sequence <= :through AND kind = {PROFILE_CHANGE}
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

_READ = text(
    f"""SELECT sequence, numbered_time, {_COLUMNS} FROM changes
        WHERE sequence > :after ORDER BY sequence LIMIT :limit"""
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one turn of the sequencer did. `held_by_other`: another replica has the lease;
    `locked`: another is looking just now, so nothing was done.
    """

    count: int
    head: int
    held_by_other: bool = False
    locked: bool = False
    began_tenure: bool = False


async def is_held_by_other(connection: AsyncConnection, holder: UUID) -> bool:
    """Whether another replica has the lease; looks without the lock, so disturbs nobody."""
    return bool((await connection.execute(_HELD, {"holder": holder})).scalar_one())


async def anything_waits(connection: AsyncConnection) -> bool:
    """Whether a committed change has no number yet."""
    return bool((await connection.execute(_WAITS)).scalar_one())


async def number_batch(
    connection: AsyncConnection, holder: UUID, limit: int, lease_s: float
) -> Batch:
    """Numbers and folds up to `limit` changes, in the caller's transaction.

    Holds the advisory lock until the transaction ends, so a stopped process blocks nobody
    for longer than its idle timeout. Begins a tenure when `holder` does not have the lease, let
    it lapse, or had it on another connection; does nothing while another holder's lease lives.
    """
    if not (await connection.execute(_TRY_LOCK, {"key": _LOCK_KEY})).scalar_one():
        return Batch(0, 0, locked=True)
    await connection.execute(_SETTINGS)
    row = (await connection.execute(_HOLD)).one()
    if row.holder != holder and row.held:
        return Batch(0, row.head_sequence, held_by_other=True)
    head = int(row.head_sequence)
    begins = row.holder != holder or not row.held or not row.same_connection
    if begins:
        tenure = {"epoch": uuid4(), "head": head, "holder": holder, "lease": lease_s}
        await connection.execute(_BEGIN_TENURE, tenure)
    numbered = (await connection.execute(_NUMBER, {"head": head, "limit": limit})).one()
    if not numbered.changes:
        await connection.execute(_RENEW, {"lease": lease_s})
        return Batch(0, head, began_tenure=begins)
    through = head + numbered.changes
    batch = {"head": head, "through": through}
    await connection.execute(_NEW_BOARDS, batch)
    await connection.execute(_FOLD, batch)
    if numbered.profiles:
        await connection.execute(_FOLD_PROFILES, batch)
    await connection.execute(_ADVANCE, {"head": through, "lease": lease_s})
    await connection.execute(_NOTIFY, {"channel": CHANNEL, "head": str(through)})
    return Batch(numbered.changes, through, began_tenure=begins)


async def read_changes(
    connection: AsyncConnection, after: int, head: int, limit: int
) -> Sequence[Any]:
    """The changes after a valid position, in order; empty when `after` is the head.

    Raises OutOfRange (HISTORY_TRUNCATED) when the next change is no longer kept.
    """
    if after >= head:
        return ()
    rows = (await connection.execute(_READ, {"after": after, "limit": limit})).all()
    if not rows or rows[0].sequence != after + 1:
        raise OutOfRange(
            "HISTORY_TRUNCATED",
            "The history is not kept back to there: take a snapshot and resume from its position.",
            metadata={"sequence": str(after)},
        )
    return rows
