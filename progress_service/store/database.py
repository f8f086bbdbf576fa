"""The connection pool, and the retry of transactions that the database asks to repeat."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from progress_service.migrations import migrate
from progress_service.settings import ProgressSettings
from shared.errors import ResourceExhausted, Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_STATEMENT_TIMEOUT_MS = 30_000
_WAIT_S = 5.0
"""How long to wait for a connection."""
_RETRY_STATES = {"40001", "40P01"}  # serialization_failure, deadlock_detected
# admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout,
# idle_in_transaction_session_timeout, too_many_connections, and what a database answers that
# accepts no connections (object_not_in_prerequisite_state)
_LOST_STATES = {"57P01", "57P02", "57P03", "57P05", "25P03", "53300", "55000"}
_DOWN = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncio.TimeoutError)


class Database:
    """PostgreSQL as the stores see it: `read` and `write` transactions on pooled connections."""

    def __init__(self, settings: ProgressSettings) -> None:
        self._url = make_url(settings.postgres_url).set(drivername="postgresql+asyncpg")
        # Readers never take the last connections: writers go on under any load of reads.
        self._reads = asyncio.Semaphore(settings.postgres_pool_size - settings.group_writers)
        self.engine: AsyncEngine = create_async_engine(
            self._url,
            pool_size=settings.postgres_pool_size + 1,  # and one for the sequencer
            max_overflow=0,
            pool_timeout=_WAIT_S,
            pool_pre_ping=False,
            connect_args={
                "timeout": 5,
                "server_settings": {
                    "application_name": "laurel_progress",
                    "jit": "off",
                    "timezone": "UTC",
                    "statement_timeout": str(_STATEMENT_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": "30000",
                },
            },
        )

    async def migrate(self) -> None:
        """Brings the schema to the newest revision."""

        def run(connection: Connection) -> None:
            migrate(connection)

        async with self.engine.connect() as connection:
            await connection.run_sync(run)

    async def connect(self) -> asyncpg.Connection:
        """A connection outside the pool, for LISTEN; the caller closes it."""
        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection: asyncpg.Connection = await asyncpg.connect(url, timeout=5)
        return connection

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._reads.acquire()
        except TimeoutError:
            raise _busy() from None
        try:
            yield
        finally:
            self._reads.release()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A read-only transaction in which every statement sees one snapshot."""
        async with _translated(), self._reading(), self.engine.connect() as connection:
            snapshot = await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            async with snapshot.begin():
                yield snapshot

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a READ COMMITTED transaction and commits it.

        Repeated up to 5 times when the database asks for it (a deadlock): `work` must have
        no effect outside the transaction. A lost connection is Unavailable: the commit may
        or may not have happened, and a retry with the same request_id tells.
        """
        async with _translated():
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_wants_retry),
                stop=stop_after_attempt(5),
                wait=wait_random_exponential(multiplier=0.01, max=0.5),
                reraise=True,
            ):
                with attempt:
                    async with self.engine.begin() as connection:
                        return await work(connection)
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that the caller ends; one that is still open is rolled back."""
        async with _translated(), self.engine.connect() as connection:
            yield connection

    async def close(self) -> None:
        """Closes every pooled connection."""
        await self.engine.dispose()


def sql_state(error: BaseException) -> str:
    """The SQLSTATE behind an error of SQLAlchemy, "" when it has none."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def _wants_retry(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and sql_state(error) in _RETRY_STATES


def is_connection_loss(error: BaseException) -> bool:
    """Whether the database could not be reached, or went away in the middle."""
    if isinstance(error, _DOWN):
        return True
    if isinstance(error, DBAPIError):
        state = sql_state(error)
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError)
            or state[:2] == "08"
            or state in _LOST_STATES
        )
    return False


def _busy() -> ResourceExhausted:
    return ResourceExhausted(
        "DATABASE_BUSY", "All database connections are in use.", retry_delay_s=0.5
    )


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except PoolTimeoutError:
        raise _busy() from None
    except (SQLAlchemyError, *_DOWN) as error:
        if is_connection_loss(error):
            log.warning("database unavailable", error=type(error).__name__)
            raise Unavailable("DATABASE_UNAVAILABLE", "The database does not answer.") from error
        raise
