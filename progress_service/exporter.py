"""ExportUser: everything stored about a user, document by document."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store import exports
from progress_service.store.database import Database
from progress_service.store.exports import Export
from shared.errors import ResourceExhausted
from shared.identity import Actor

MAX_EXPORTS = 2
"""Each is a copy on disk until it is sent."""


@dataclass
class Exporter:
    """`export` for each call."""

    database: Database
    under_way: int = 0

    async def export(
        self, user_id: str, actor: Actor, send: Callable[[str, bytes], Awaitable[None]]
    ) -> None:
        """Sends each document's name and JSON; all of them are of one position.

        That `actor` asked for them is on record before the first is sent, and in them.
        Raises NotFound (USER_NOT_FOUND), ResourceExhausted (TOO_MANY_EXPORTS).
        """
        if self.under_way >= MAX_EXPORTS:
            raise ResourceExhausted(
                "TOO_MANY_EXPORTS", "Too many exports are under way.", retry_delay_s=5
            )
        self.under_way += 1
        try:
            await self._export(user_id, actor, send)
        finally:
            self.under_way -= 1

    async def _export(
        self, user_id: str, actor: Actor, send: Callable[[str, bytes], Awaitable[None]]
    ) -> None:
        async def record(connection: AsyncConnection) -> None:
            await exports.record(connection, user_id, actor)

        await self.database.write(record)
        with closing(Export()) as export:
            await export.fill(self.database, user_id)
            for name, json in export.documents():
                await send(name, json)
