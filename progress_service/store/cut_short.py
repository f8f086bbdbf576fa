"""What becomes of a connection when the call that it works for ends in the middle of a statement:
the caller has gone, or its deadline has passed.

SQLAlchemy would close it. A storm of such calls then opens connections all the time, which costs
both sides more than the statements did (measured: 430 new ones a second, and other reads three
times as slow). asyncpg has the server cancel the statement, and the connection goes on.
"""

import asyncio

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

_CANCEL_S = 2.0
"""How long the server may take to cancel a statement; then the connection is given up."""
_TIMER = "laurel_cut_short"


def keep_connections(engine: AsyncEngine) -> None:
    """From now on a cancelled statement leaves its connection in the engine's pool."""
    event.listen(engine.sync_engine, "handle_error", _keep)
    event.listen(engine.sync_engine.pool, "checkin", _over)


def _keep(context: ExceptionContext) -> None:
    """Only within a transaction, which is rolled back next: what is cut short while it begins or
    ends leaves behind nobody knows what.
    """
    if not isinstance(context.original_exception, asyncio.CancelledError):
        return
    connection = context.connection
    if connection is None or connection.invalidated:
        return
    adapter = connection.connection.dbapi_connection
    if getattr(adapter, "_transaction", None) is None:
        return
    context.is_disconnect = False
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - it has just been used
    timer = asyncio.get_running_loop().call_later(_CANCEL_S, driver.terminate)
    connection.info[_TIMER] = timer


def _over(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    timer = entry.info.pop(_TIMER, None)
    if timer is not None:
        timer.cancel()
