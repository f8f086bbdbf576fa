"""A history that is gone where someone still reads."""

from contextlib import suppress

import asyncpg

from tests.faults.faults.fault import Fault, Kind
from tests.faults.hops import LEADERBOARD_PROGRESS
from tests.faults.proxy import HALF_OPEN
from tests.faults.stack import Stack


class Pruned(Fault):
    """The history is kept for a second, and meanwhile the followers hear nothing of it."""

    async def begin(self, stack: Stack) -> None:
        self.target = LEADERBOARD_PROGRESS
        for proxy in stack.hops[LEADERBOARD_PROGRESS]:
            proxy.shape(HALF_OPEN)

    async def heal(self, stack: Stack) -> None:
        # Another fault may have it down.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with stack.postgres.connection() as connection:
                pruned = await connection.fetchval("SELECT count(*) FROM public.pruned_changes")
            self.effect = f"{pruned} changes pruned" if pruned else ""
        for proxy in stack.hops[LEADERBOARD_PROGRESS]:
            await proxy.heal(close_held=True)


KINDS = [
    Kind(
        "history.pruned",
        frozenset({LEADERBOARD_PROGRESS}),
        Pruned,
        settings={"LAUREL_HISTORY_KEEP": "PT1S", "LAUREL_HISTORY_KEEP_CHANGES": "10"},
    )
]
