"""Whether this service can do its work: as long as its database answers."""

import asyncio

import structlog

from progress_service.store.database import Database
from progress_service.store.driver import is_connection_loss
from shared.server import RpcServer

log = structlog.get_logger(__name__)

_CHECK_S = 1.0
_ANSWER_S = 5.0


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


async def follow_database(database: Database, server: RpcServer, ready: asyncio.Event) -> None:
    """Keeps grpc.health.v1 true to whether the database answers; sets `ready` the first time."""
    serving = False
    while True:
        answers = await _answers(database)
        if answers != serving:
            log.log(20 if answers else 30, "serving" if answers else "database does not answer")
            await server.set_serving(serving=answers)
            serving = answers
        if answers:
            ready.set()
        await asyncio.sleep(_CHECK_S)


async def _answers(database: Database) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_S):
            await database.check()
    except Exception as error:  # noqa: BLE001 - the service stays up and says it cannot serve
        log.debug("health check failed", error=type(error).__name__)
        return False
    return True


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
