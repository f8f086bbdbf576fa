"""The connection pool, its budgets, and the retry of transactions that ask to be repeated."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
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
from progress_service.store.cut_short import keep_connections
from progress_service.store.driver import (
    LOST,
    UNREACHABLE,
    DatabaseRefused,
    Driver,
    is_connection_loss,
    is_refusal,
    sql_state,
)
from progress_service.store.slots import Slots, database_busy
from shared.errors import Unavailable
from shared.trouble import Trouble

__all__ = ["Database", "Purpose", "connection_budgets"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

_URL = "postgresql+asyncpg://"
_WAIT_S = 5.0
"""How long to wait for a connection."""
_WELL_S = 5.0
"""So long after the last failure it is over: a full disk, say, fails some transactions only."""
_RETRY_STATES = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_LOCK_NOT_AVAILABLE = "55P03"
_OWN_CONNECTIONS = 2
"""One for the sequencer, one for the health check."""
_LISTEN_CONNECTIONS = 1
_AUDIT_CONNECTIONS = 3
"""Beside the pool: verifications, backfills, exports and erasures take long, and must take no
reader's or editor's connection.
"""


class Purpose(Enum):
    """What a transaction is for. Each has connections of its own, so that no load of one keeps
    another from working.
    """

    READ = auto()
    GROUP = auto()
    IMPORT = auto()
    EDIT = auto()
    AUDIT = auto()
    JOB = auto()


_UNHURRIED = {Purpose.GROUP, Purpose.IMPORT, Purpose.AUDIT, Purpose.JOB}
"""Wait for as long as it takes: their number is bounded elsewhere."""


def connection_budgets(settings: ProgressSettings) -> dict[Purpose, int]:
    """How many connections each purpose has at once; together LAUREL_POSTGRES_POOL_SIZE, but for
    those of AUDIT and JOB, which come on top.
    """
    rest = settings.postgres_pool_size - settings.group_writers
    few = 2 if rest >= 8 else 1
    return {
        Purpose.GROUP: settings.group_writers,
        Purpose.IMPORT: few,
        Purpose.EDIT: few,
        Purpose.READ: rest - 2 * few,
        Purpose.AUDIT: _AUDIT_CONNECTIONS,
        Purpose.JOB: 1,
    }


def most_connections(settings: ProgressSettings) -> int:
    """How many connections this process has at most: the database must take as many for each
    replica, and some for others.
    """
    budgets = connection_budgets(settings)
    return sum(budgets.values()) + _OWN_CONNECTIONS + _LISTEN_CONNECTIONS


class Database:
    """PostgreSQL as the stores see it: `read` and `write` transactions on pooled connections."""

    def __init__(self, settings: ProgressSettings) -> None:
        self._driver = Driver(settings.postgres_url)
        budgets = connection_budgets(settings)
        self._slots = {
            purpose: Slots(purpose.name.lower(), most, None if purpose in _UNHURRIED else _WAIT_S)
            for purpose, most in budgets.items()
        }
        self._trouble = Trouble(log)
        self._failed_at = 0.0
        self._most = most_connections(settings)
        self.engine: AsyncEngine = create_async_engine(
            _URL,
            async_creator=self._driver.connect,
            pool_size=sum(budgets.values()) + _OWN_CONNECTIONS,
            max_overflow=0,
            pool_timeout=_WAIT_S,
            pool_pre_ping=False,
            hide_parameters=True,
        )
        keep_connections(self.engine)

    async def migrate(self) -> None:
        """Brings the schema to the newest revision, however long that takes.

        Raises DatabaseRefused when the server does not take this URL.
        """

        def run(connection: Connection) -> None:
            migrate(connection)

        engine = create_async_engine(
            _URL,
            async_creator=self._driver.connect_patiently,
            poolclass=NullPool,
            hide_parameters=True,
        )
        try:
            # By itself first: what the driver then raises is about the URL, not a migration.
            connection = await self._driver.connect_patiently()
        except Exception as error:
            if is_refusal(error):
                raise DatabaseRefused(str(error).partition("\n")[0]) from None
            raise
        try:
            await self._check_room(connection)
        finally:
            await connection.close()
        try:
            async with engine.connect() as migrating:
                await migrating.run_sync(run)
        finally:
            await engine.dispose()

    async def _check_room(self, connection: asyncpg.Connection) -> None:
        """Says when the server takes fewer connections than this process may open."""
        takes = int(await connection.fetchval("SHOW max_connections"))
        if takes < self._most:
            log.warning(
                "the database takes too few connections", max_connections=takes, wanted=self._most
            )

    async def connect(self) -> asyncpg.Connection:
        """A connection outside the pool, for LISTEN; the caller closes it."""
        return await self._driver.connect()

    async def check(self) -> None:
        """Raises unless the database answers; never waits for other work of this process."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    def abandon(self) -> int:
        """Gives every connection up, and with it whatever is under way, as lost; how many. For a
        link that has gone silent: nothing on it ever ends by itself.
        """
        return self._driver.terminate()

    def has_room(self, purpose: Purpose) -> bool:
        """Whether a transaction of this purpose would begin without waiting."""
        return not self._slots[purpose].all_taken

    @asynccontextmanager
    async def _connection(self, purpose: Purpose) -> AsyncIterator[AsyncConnection]:
        slots = self._slots[purpose]
        await slots.take()
        try:
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(self.engine.connect())
                except (*UNREACHABLE, asyncpg.PostgresError) as error:
                    raise self._unavailable(error) from error
                if self._trouble.present and time.monotonic() - self._failed_at >= _WELL_S:
                    self._trouble.over("database available again")
                yield connection
        finally:
            slots.give_back()

    @asynccontextmanager
    async def read(self, purpose: Purpose = Purpose.READ) -> AsyncIterator[AsyncConnection]:
        """A read-only transaction in which every statement sees one snapshot."""
        async with self._translated(), self._connection(purpose) as connection:
            snapshot = await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            async with snapshot.begin():
                yield snapshot

    async def write(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        purpose: Purpose = Purpose.EDIT,
    ) -> T:
        """Runs `work` in a READ COMMITTED transaction and commits it.

        Repeated up to 5 times when the database asks for it (a deadlock): `work` must have
        no effect outside the transaction. A lost connection is Unavailable: the commit may
        or may not have happened, and a retry with the same request_id tells. Unavailable
        (ROW_BUSY) when another transaction holds for 2 s what this one needs.
        """
        async with self._translated():
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_wants_retry),
                stop=stop_after_attempt(5),
                wait=wait_random_exponential(multiplier=0.01, max=0.5),
                reraise=True,
            ):
                with attempt:
                    async with self._connection(purpose) as connection, connection.begin():
                        return await work(connection)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Closes every pooled connection."""
        await self.engine.dispose()

    def _unavailable(self, error: BaseException) -> Unavailable:
        self._failed_at = time.monotonic()
        # Once: of many calls each may meet it in a way of its own.
        if not self._trouble.present:
            state = sql_state(error)
            self._trouble.met("database unavailable", error=type(error).__name__, sqlstate=state)
        return Unavailable("DATABASE_UNAVAILABLE", "The database does not answer.")

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Only the driver's errors: the caller's own files, say, are no matter of the database."""
        try:
            yield
        except PoolTimeoutError:
            raise database_busy() from None
        except (SQLAlchemyError, asyncpg.PostgresError, *LOST) as error:
            if is_connection_loss(error):
                raise self._unavailable(error) from error
            if sql_state(error) == _LOCK_NOT_AVAILABLE:
                raise Unavailable(
                    "ROW_BUSY", "Another transaction is in the way; retry it.", retry_delay_s=1.0
                ) from error
            raise


def _wants_retry(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and sql_state(error) in _RETRY_STATES
