"""The rows by whose number a list goes on: whether one is still there that once was.

A database that is restored to the past gives numbers out again, and no transaction after that has
the time of one before it.
"""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEYS = {"attempts": "attempt_id", "xp_entries": "entry_id", "admin_actions": "action_id"}
"""The tables, each with its number. An erasure leaves number and time as they are."""
# Index: the table's primary key.
_EXISTS = {
    table: text(
        f"""SELECT EXISTS (SELECT FROM {table}
                           WHERE {key} = :number AND create_time = :write_time)"""
    )
    for table, key in KEYS.items()
}


async def exists(
    connection: AsyncConnection, table: str, number: int, write_time: datetime
) -> bool:
    """Whether this row of the table was written then."""
    row = {"number": number, "write_time": write_time}
    return bool((await connection.execute(_EXISTS[table], row)).scalar_one())
