"""Pruning the history: old changes go, and what stays of each is its number.

What may go is a prefix of the history. A change goes when it was numbered long enough ago, by the
database's clock, and enough newer ones are kept; the first that must stay keeps all after it.

Cost of a pruned change: a dead row in `changes` and a dead entry in each of its three or four
indexes until the next vacuum, which comes with every twentieth of the table (see the migration);
and for good some 70 bytes, a row of `pruned_changes` and an entry in one of its indexes. Rows die
at one end of the table and come in at the other, so whole pages come free, and the table stays at
its size. Nothing here walks over dead rows: every range begins after what is pruned.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK_KEY = 0x4C61_7572_656C_0004

# Before the lock is taken: a replica that is stopped in the middle, or whose statement takes its
# time, holds the lock, and with it an erasure and the numbering, for so long. What a crash
# brings back is pruned again, so nobody waits for the disk. Plans are made for the range at hand.
_SETTINGS = text(
    """SELECT set_config('idle_in_transaction_session_timeout', '1s', true),
              set_config('statement_timeout', '2s', true),
              set_config('synchronous_commit', 'off', true),
              set_config('plan_cache_mode', 'force_custom_plan', true)"""
)
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_PRUNED = text("SELECT pruned_sequence FROM history_pruning")
_BEYOND = text(
    """SELECT p.pruned_sequence, p.not_before > now() AS early,
              h.head_sequence - CAST(:keep_changes AS bigint) AS last
       FROM history_pruning p CROSS JOIN history h"""
)
# Cost: a batch of rows, read in order. Index: changes_pkey.
_FIRST_YOUNG = text(
    """SELECT min(sequence) FROM changes
       WHERE sequence > :after AND sequence <= :last
         AND numbered_time >= now() - CAST(:keep AS interval)"""
)
# Cost: about 10 microseconds a change. Index: changes_pkey.
_PRUNE = text(
    """
    WITH gone AS (
        DELETE FROM changes WHERE sequence > :after AND sequence <= :last
        RETURNING sequence, change_id, entry_id
    ), remembered AS (
        INSERT INTO pruned_changes (sequence, change_id, entry_id)
        SELECT sequence, CASE WHEN entry_id IS NULL THEN change_id END, entry_id FROM gone
    )
    UPDATE history_pruning SET pruned_sequence = :last
    """
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept at least: changes that were numbered within `age`, and the newest `changes`.
    An `age` of 0: everything, for ever.
    """

    age: timedelta
    changes: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one turn did; `oldest_sequence`: of what is kept since, one more than the head when that
    is nothing; `more`: there may be more to prune.
    """

    count: int
    oldest_sequence: int
    more: bool


async def oldest_sequence(connection: AsyncConnection) -> int:
    """The number of the oldest change that is kept; one more than the head when none is."""
    return int((await connection.execute(_PRUNED)).scalar_one()) + 1


async def prune(connection: AsyncConnection, kept: Kept, limit: int) -> Pruned:
    """Prunes up to `limit` changes, in the caller's transaction; none while another replica does,
    or while there may be replicas of an older release.

    Holds nothing that a writer or the numbering needs, but for an erasure's fold (`keep_out`).
    Fails when a statement takes 2 s: another time, or with a lower limit, it may do.
    """
    await connection.execute(_SETTINGS)
    locked = (await connection.execute(_TRY_LOCK, {"key": _LOCK_KEY})).scalar_one()
    row = (await connection.execute(_BEYOND, {"keep_changes": kept.changes})).one()
    after = int(row.pruned_sequence)
    last = min(int(row.last), after + limit)
    if not locked or row.early or not kept.age or last <= after:
        return Pruned(0, after + 1, more=False)
    batch = {"after": after, "last": last}
    young = (await connection.execute(_FIRST_YOUNG, {**batch, "keep": kept.age})).scalar_one()
    if young is not None:
        last = int(young) - 1
    if last > after:
        await connection.execute(_PRUNE, {"after": after, "last": last})
    return Pruned(last - after, last + 1, more=young is None and last == after + limit)


async def keep_out(connection: AsyncConnection) -> None:
    """From here until the transaction ends nothing is pruned: for what updates old changes, so that
    neither waits for rows of the other while it holds some itself. Waits for one batch at most,
    which the settings of `prune` bound to some 10 s.
    """
    await connection.execute(_LOCK, {"key": _LOCK_KEY})
