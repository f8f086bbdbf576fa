"""Where a page of a list ended, and whether that is of the present history.

A database that is restored to the past gives numbers out again. The row that gets one of them then
has another time, as clocks go.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.positions import LAST_OF_TENURE, Position, read_head

NUMBERED = {"attempts": "attempt_id", "xp_entries": "entry_id", "admin_actions": "action_id"}
"""The tables whose rows are listed by number. An erasure leaves number and time as they are."""


def _read(row: str) -> str:
    """SQL: the head, and whether a place is known. Index: tenures_epoch_key, tenures_pkey."""
    return f"""SELECT head_sequence, epoch,
                      coalesce(CAST(:after AS bigint) <= {LAST_OF_TENURE},
                               CAST(:epoch AS uuid) IS NULL) AND {row} AS known
               FROM history"""


_BY_ID = text(_read("true"))
# Index: the table's primary key.
_BY_NUMBER = {
    table: text(
        _read(f"EXISTS (SELECT FROM {table} WHERE {key} = :number AND create_time = :write_time)")
    )
    for table, key in NUMBERED.items()
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of one of NUMBERED: its number, and when it was written."""

    table: str
    number: int
    write_time: datetime


async def head_after(
    connection: AsyncConnection, last: Position | None, row: Row | None = None
) -> Position | None:
    """The head of the history, if `last` is a point of it (None: the beginning of a list) and
    `row` is there; else None. One statement.
    """
    if last is None:
        return (await read_head(connection)).position
    try:
        epoch = UUID(last.epoch) if last.epoch else None
    except ValueError:
        return None
    statement = _BY_ID
    place: dict[str, Any] = {"epoch": epoch, "after": last.sequence}
    if row is not None:
        statement = _BY_NUMBER[row.table]
        place |= {"number": row.number, "write_time": row.write_time}
    found = (await connection.execute(statement, place)).one()
    return Position(str(found.epoch or ""), found.head_sequence) if found.known else None
