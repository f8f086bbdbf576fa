"""Decides on attempts under review."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.credit_log import CreditLog
from progress_service.store import reviews
from progress_service.store.database import Database
from progress_service.store.outcomes import Recorded
from progress_service.store.reviews import Decided, Decision
from shared.caller import request_id


@dataclass(frozen=True)
class Reviewer:
    """`zone` is the deployment's; `on_commit` is called after each decision."""

    database: Database
    zone: ZoneInfo
    credit_log: CreditLog
    on_commit: Callable[[], None]

    async def decide(self, decision: Decision) -> Any:
        """The attempt as it is then; raises as `reviews.decide`."""

        async def work(connection: AsyncConnection) -> Decided:
            return await reviews.decide(connection, decision, self.zone)

        decided = await self.database.write(work)
        self.on_commit()
        self.credit_log.write(
            [Recorded({}, replayed=False, credited=decided.credited)], [request_id()]
        )
        return decided.attempt
