"""Pruning the history to the bone, as the service itself does it."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store import history_pruning
from progress_service.store.database import Purpose
from progress_service.store.history_pruning import Kept, Pruned
from tests.progress import Progress

NO_AGE = timedelta(microseconds=1)


async def prune_once(progress: Progress, kept: Kept, limit: int = 5_000) -> Pruned:
    """One turn of a pruner."""

    async def work(connection: AsyncConnection) -> Pruned:
        return await history_pruning.prune(connection, kept, limit)

    return await progress.app.database.write(work, Purpose.JOB)


async def prune(progress: Progress, keep_changes: int = 0) -> int:
    """Prunes all but the newest changes, whatever their age; how many that were."""
    count, more = 0, True
    while more:
        pruned = await prune_once(progress, Kept(NO_AGE, keep_changes))
        count, more = count + pruned.count, pruned.more
    return count
