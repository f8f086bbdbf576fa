"""Whether this service can do its work: as long as its database answers."""

import asyncio

import structlog

from progress_service.store.database import Database
from progress_service.store.driver import is_connection_loss
from shared.server import RpcServer

log = structlog.get_logger(__name__)

_CHECK_S = 1.0
_ANSWER_S = 5.0
_PATIENCE = 2
"""So often: a process that itself stood still takes the answer that has come meanwhile."""


async def migrate(database: Database) -> None:
    """Brings the schema to the newest revision, waiting for a database that is not up yet.

    Raises DatabaseRefused at once when waiting cannot help.
    """
    waiting = False
    while True:
        try:
            await database.migrate()
        except Exception as error:
            if not is_connection_loss(error):
                raise
            if not waiting:
                log.warning("waiting for the database", error=_told(error))
            waiting = True
            await asyncio.sleep(_CHECK_S)
        else:
            return


class DatabaseHealth:
    """Keeps grpc.health.v1 true to whether the database answers; `ready` is set the first time.

    A link may go silent without an end: a network that drops what it carries, a server that
    hangs. Then nothing that waits for an answer ever gets one, so all connections are given up,
    and whoever waits is told.
    """

    def __init__(self, database: Database, server: RpcServer, ready: asyncio.Event) -> None:
        self._database = database
        self._server = server
        self._ready = ready
        self._serving = False

    async def run(self) -> None:
        """Checks for ever."""
        while True:
            check = asyncio.create_task(_answers(self._database))
            try:
                await self._follow(check)
            finally:
                check.cancel()
                await asyncio.wait({check})
            await asyncio.sleep(_CHECK_S)

    async def _follow(self, check: asyncio.Task[bool]) -> None:
        for _ in range(_PATIENCE):
            await asyncio.wait({check}, timeout=_ANSWER_S)
            await self._note(serving=check.done() and check.result())
            if check.done():
                return
        given_up = self._database.abandon()
        log.warning("the database is silent", connections_given_up=given_up)

    async def _note(self, *, serving: bool) -> None:
        if serving != self._serving:
            log.log(20 if serving else 30, "serving" if serving else "database does not answer")
            await self._server.set_serving(serving=serving)
            self._serving = serving
        if serving:
            self._ready.set()


async def _answers(database: Database) -> bool:
    try:
        await database.check()
    except Exception as error:  # noqa: BLE001 - the service stays up and says it cannot serve
        log.debug("health check failed", error=type(error).__name__)
        return False
    return True


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
