"""Connections to PostgreSQL as asyncpg opens them, and what its errors mean."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from weakref import WeakSet

import asyncpg
from asyncpg.exceptions import ClientConfigurationError
from sqlalchemy.exc import DBAPIError, InterfaceError

from progress_service import metrics

_CONNECT_S = 5.0
# Of libpq's parameters those that only tune the client; asyncpg would send them to the server.
_TUNING = {
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
}
_SESSION = {
    "jit": "off",
    "timezone": "UTC",
    "statement_timeout": "30s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "30s",
}
# What the database cannot do just now, whoever asks: no connection, out of disk, memory or
# connections, shutting down or a statement that took too long, and trouble with its files.
_LOST_CLASSES = {"08", "53", "57", "58"}
# idle_in_transaction_session_timeout, what a database answers that accepts no connections
# (object_not_in_prerequisite_state), and one that is a replica by now (read_only_sql_transaction)
_LOST_STATES = {"25P03", "55000", "25006"}
# invalid_catalog_name, and parameters of the URL that the server does not know or take
_REFUSED_STATES = {"3D000", "42704", "22023"}
LOST = (ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
"""What a lost connection raises in the middle, beside SQLAlchemy's errors."""
UNREACHABLE = (OSError, TimeoutError, *LOST)
"""What opening a connection raises when there is no server."""


class DatabaseRefused(Exception):
    """The server answers, but not to this URL: a bad setting, which no waiting mends."""


class Driver:
    """Opens connections to the database of a `postgresql://` URL, with libpq's parameters."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        self._timeout_s = float(query.pop("connect_timeout", 0)) or _CONNECT_S
        kept = {key: value for key, value in query.items() if key not in _TUNING}
        self._dsn = urlunsplit(parts._replace(query=urlencode(kept)))
        self._name = kept.get("application_name", "laurel_progress")
        self._open: WeakSet[asyncpg.Connection] = WeakSet()

    async def connect(self, session: Mapping[str, str] = _SESSION) -> asyncpg.Connection:
        """A connection whose session has these settings; the caller closes it."""
        connection: asyncpg.Connection = await asyncpg.connect(
            self._dsn,
            timeout=self._timeout_s,
            server_settings={"application_name": self._name, **session},
        )
        self._open.add(connection)
        metrics.DATABASE_OPENED.inc()
        return connection

    def terminate(self) -> int:
        """Ends every connection that is open, whatever it is used for, without a word to the
        server; how many there were. What waits for an answer on one has lost it.
        """
        left = [connection for connection in self._open if not connection.is_closed()]
        for connection in left:
            connection.terminate()
        self._open.clear()
        return len(left)

    async def connect_patiently(self) -> asyncpg.Connection:
        """A connection on which nothing times out, for migrations."""
        return await self.connect({key: "0" if "out" in key else _SESSION[key] for key in _SESSION})


def sql_state(error: BaseException) -> str:
    """The SQLSTATE of an error of asyncpg, or behind one of SQLAlchemy; "" when it has none."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def is_connection_loss(error: BaseException) -> bool:
    """Whether the database could not be reached, went away in the middle, or cannot work."""
    if is_refusal(error):
        return False
    state = sql_state(error)
    if isinstance(error, UNREACHABLE) or state[:2] in _LOST_CLASSES or state in _LOST_STATES:
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, InterfaceError)
    )


def is_refusal(error: BaseException) -> bool:
    """Whether connecting failed in a way that only other settings mend: wrong credentials, no
    such database, an unknown parameter.
    """
    state = sql_state(error)
    return (
        isinstance(error, ClientConfigurationError) or state[:2] == "28" or state in _REFUSED_STATES
    )
