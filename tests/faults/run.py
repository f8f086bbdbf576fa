"""One run: the stack is started, used, hurt and healed; what was seen is handed back.

The workload and the faults follow from the plan's seed alone.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.injection import inject
from tests.faults.plan import Plan
from tests.faults.recording import Recorded
from tests.faults.stack import Stack
from tests.faults.workload.connection import Addresses
from tests.faults.workload.crowd import crowd, found
from tests.faults.workload.ending import Ending
from tests.faults.workload.recorder import Recorder
from tests.faults.workload.samples import sample

START_S = 30.0
"""How long the boards may take to be live at first."""
SETTLE_S = 20.0
"""How long writers may go on asking for a definite answer after all is healed."""
LAG_S = 30.0
"""How long the boards may take to be at the head after that; what they should take is judged."""
WHOLE_S = 180.0
"""Beyond this and the plan's duration the harness itself is stuck."""


class Game:
    """A run under way."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self.recorded = Recorded(plan.seed, plan.duration_s)
        self._recorder = Recorder(self.recorded)
        self._healed_at = 0.0

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = self._recorder.now()
        try:
            yield
        finally:
            self.recorded.phases[name] = round(self._recorder.now() - began, 3)

    async def play(self) -> None:
        """From nothing to nothing."""
        async with AsyncExitStack() as exits:
            with self._phase("start"):
                stack = await exits.enter_async_context(
                    Stack(self._folder, self._plan, self._recorder.now)
                )
            self.recorded.canaries = stack.canaries
            direct = Addresses(stack.direct_progress, stack.direct_leaderboard)
            ending = Ending(self._recorder, direct)
            exits.push_async_callback(ending.close)
            sampling = asyncio.create_task(
                sample(self.recorded.samples, lambda: stack.pids, self._recorder.now)
            )
            exits.callback(sampling.cancel)
            await self._found(stack, ending)
            await self._act(stack)
            await self._end(stack, ending)
            leaving = self._recorder.now()
        self.recorded.phases["stop"] = round(self._recorder.now() - leaving, 3)

    async def _found(self, stack: Stack, ending: Ending) -> None:
        """Users and courses, on live boards."""
        with self._phase("found"):
            await found(self._recorder, _clients(stack))
            assert await ending.lag_ends(START_S), "the boards did not come up"

    async def _act(self, stack: Stack) -> None:
        """The workload, and the faults meanwhile; then all is healed and every write answered."""
        async with crowd(self._plan.seed, self._recorder, _clients(stack)) as clients:
            with self._phase("work"):
                clients.begin()
                async with asyncio.TaskGroup() as group:
                    group.create_task(inject(self._plan, stack, self.recorded.acts))
                    group.create_task(clients.work(self._plan.duration_s))
                await stack.heal()
            self._healed_at = self._recorder.now()
            with self._phase("settle"):
                await clients.stop(SETTLE_S)

    async def _end(self, stack: Stack, ending: Ending) -> None:
        recorded = self.recorded
        with self._phase("lag"):
            if await ending.lag_ends(LAG_S):
                recorded.calm_at = self._recorder.now()
                recorded.lag_s = recorded.calm_at - self._healed_at
        with self._phase("last"):
            await ending.bring_back()
            today = datetime.now(UTC).date()
            await asyncio.gather(ending.last_reads(today), ending.stall(), ending.overfill())
        with self._phase("audit"):
            await ending.audit()
        with self._phase("dump"):
            await stack.finish_branch()
            recorded.branches = list(stack.branches)
            recorded.deaths = list(stack.deaths)


def _clients(stack: Stack) -> Addresses:
    return Addresses(stack.progress_targets, stack.leaderboard_targets)


async def play(plan: Plan, folder: Path) -> Recorded:
    """What a run of the plan leaves behind; its logs stay in `folder`. Raises when the harness
    itself fails: a stack that does not start, a fault that cannot be injected.
    """
    game = Game(plan, folder)
    async with asyncio.timeout(WHOLE_S + plan.duration_s):
        await game.play()
    return game.recorded
