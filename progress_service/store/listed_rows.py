"""The rows by whose number a list goes on: whether one is still there that once was.

A database that is restored to the past gives numbers out again. The row that gets one of them then
has another time, as clocks go.
"""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# An erasure leaves number and time as they are. Index: the table's primary key.
_EXISTS = {
    table: text(
        f"""SELECT EXISTS (SELECT FROM {table}
                           WHERE {key} = :number AND create_time = :write_time)"""
    )
    for table, key in (
        ("attempts", "attempt_id"),
        ("xp_entries", "entry_id"),
        ("admin_actions", "action_id"),
    )
}


async def exists(
    connection: AsyncConnection, table: str, number: int, write_time: datetime
) -> bool:
    """Whether the row of that number was written then."""
    row = {"number": number, "write_time": write_time}
    return bool((await connection.execute(_EXISTS[table], row)).scalar_one())
