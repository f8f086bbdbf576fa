"""Counts for GetStatus."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.history_pruning import oldest_sequence
from progress_service.store.positions import Head, read_head

# Large tables are estimated from the catalog: counting a hundred million rows is no status.
# Erased users' rows stay, by names from '~' on.
_COUNTS = text(
    """SELECT (SELECT count(*) FROM unnumbered_changes) AS unnumbered,
              CASE WHEN u.reltuples > 1e6
                   THEN u.reltuples::bigint - (SELECT count(*) FROM users WHERE user_id >= '~')
                   ELSE (SELECT count(*) FROM users WHERE user_id < '~') END AS users,
              CASE WHEN e.reltuples > 1e6 THEN e.reltuples::bigint
                   ELSE (SELECT count(*) FROM xp_entries) END AS entries
       FROM pg_class u, pg_class e
       WHERE u.oid = 'users'::regclass AND e.oid = 'xp_entries'::regclass"""
)


@dataclass(frozen=True, slots=True)
class Status:
    """How much is stored; `users` and `ledger_entries` are estimates above a million."""

    head: Head
    unnumbered_changes: int
    users: int
    ledger_entries: int
    oldest_sequence: int


async def load(connection: AsyncConnection) -> Status:
    """The counts, from one snapshot."""
    row = (await connection.execute(_COUNTS)).one()
    return Status(
        head=await read_head(connection),
        unnumbered_changes=row.unnumbered,
        users=row.users,
        ledger_entries=row.entries,
        oldest_sequence=await oldest_sequence(connection),
    )
