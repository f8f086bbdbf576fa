"""Numbering the changes that are committed, one holder at a time."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.folding import fold_deltas, fold_profiles
from progress_service.store.ledger_write import PROFILE_CHANGE, USER_ERASURE, XP_DELTA
from progress_service.store.special_changes import fold_special

CHANNEL = "laurel_history"
"""NOTIFY channel: wakes publishers; missing a message delays and loses nothing."""
COLUMNS = """kind, user_id, entry_id, metric, amount, source, course_id, occurred_time,
             occurred_date, windows, display_name, avatar_url, hidden, board_window, period"""
"""What `unnumbered_changes` and `changes` both have."""

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

# Insertion order is each user's own order: a change is inserted while its user is locked.
# A special change ends the batch before it and is the next one by itself, so that its fold is
# of what came before it and of nothing else.
# The batch is a range of the queue, all of one snapshot, and joined with nothing: the statistics
# of a table that is emptied all the time are of no use to any plan.
# Cost: two passes over the batch; index: the queue's primary key.
_NUMBER = text(
    f"""
    WITH next AS MATERIALIZED (
        SELECT change_id, kind IN ({XP_DELTA}, {PROFILE_CHANGE}) AS common
        FROM unnumbered_changes ORDER BY change_id LIMIT :limit
    ), cut AS MATERIALIZED (
        SELECT count(*) AS waiting,
               CASE WHEN bool_and(common) THEN max(change_id)
                    ELSE greatest(min(change_id),
                                  min(change_id) FILTER (WHERE NOT common) - 1) END AS last_id
        FROM next
    ), taken AS (
        DELETE FROM unnumbered_changes WHERE change_id <= (SELECT last_id FROM cut)
        RETURNING *
    ), numbered AS (
        INSERT INTO changes (sequence, change_id, numbered_time, {COLUMNS})
        SELECT :head + row_number() OVER (ORDER BY change_id), change_id, now(), {COLUMNS}
        FROM taken
        RETURNING kind
    )
    SELECT n.*, t.*, (SELECT waiting FROM cut) AS waiting
    FROM (
        SELECT count(*) AS changes,
               coalesce(bool_or(kind = {PROFILE_CHANGE}), false) AS profiles,
               max(kind) FILTER (WHERE kind NOT IN ({XP_DELTA}, {PROFILE_CHANGE})) AS special
        FROM numbered
    ) n CROSS JOIN (
        SELECT count(of_entry_id) > 0 AS revocations, max(pseudonym) AS pseudonym FROM taken
    ) t
    """
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one turn of the sequencer did. `held_by_other`: another replica has the lease;
    `locked`: another is looking just now, so nothing was done; `began_tenure`: the numbering was
    taken over; `more`: others may wait; `alone`: the batch is one special change.
    """

    count: int
    head: int
    held_by_other: bool = False
    locked: bool = False
    began_tenure: bool = False
    more: bool = False
    alone: bool = False


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
    it lapse, or had it on another connection, and with each erasure; does nothing while another
    holder's lease lives.
    """
    await connection.execute(_SETTINGS)
    if not (await connection.execute(_TRY_LOCK, {"key": _LOCK_KEY})).scalar_one():
        return Batch(0, 0, locked=True)
    row = (await connection.execute(_HOLD)).one()
    if row.holder != holder and row.held:
        return Batch(0, row.head_sequence, held_by_other=True)
    head = int(row.head_sequence)
    begins = row.holder != holder or not row.held or not row.same_connection
    tenure = {"epoch": uuid4(), "head": head, "holder": holder, "lease": lease_s}
    if begins:
        await connection.execute(_BEGIN_TENURE, tenure)
    numbered = (await connection.execute(_NUMBER, {"head": head, "limit": limit})).one()
    if not numbered.changes:
        await connection.execute(_RENEW, {"lease": lease_s})
        return Batch(0, head, began_tenure=begins)
    through = head + int(numbered.changes)
    if numbered.special == USER_ERASURE and not begins:
        # Whoever reads what it redacts has a position that no copy from before it knows.
        await connection.execute(_BEGIN_TENURE, tenure)
    await _fold(connection, numbered, head, through)
    await connection.execute(_ADVANCE, {"head": through, "lease": lease_s})
    await connection.execute(_NOTIFY, {"channel": CHANNEL, "head": str(through)})
    return Batch(
        through - head,
        through,
        began_tenure=begins,
        more=numbered.waiting == limit or numbered.changes < numbered.waiting,
        alone=numbered.special is not None,
    )


async def _fold(connection: AsyncConnection, numbered: Any, head: int, through: int) -> None:
    if numbered.special is not None:
        await fold_special(connection, numbered.special, through, numbered.pseudonym)
        return
    await fold_deltas(connection, head, through, revocations=numbered.revocations)
    if numbered.profiles:
        await fold_profiles(connection, head, through)
