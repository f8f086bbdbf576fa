"""Carries out a plan on a stack."""

import asyncio
from random import Random

from tests.faults.faults import FAULTS
from tests.faults.plan import Plan, Planned
from tests.faults.recording import Act
from tests.faults.stack import Stack


async def inject(plan: Plan, stack: Stack, acts: list[Act]) -> None:
    """Prepares, begins, holds and heals each planned fault at its time from now on, and appends
    what was done to `acts`. Returns when the last one is healed; what began is healed also when
    cancelled.
    """
    start = stack.elapsed()
    async with asyncio.TaskGroup() as group:
        for number, planned in enumerate(plan.faults):
            chance = Random(f"fault/{plan.seed}/{number}")
            group.create_task(_Injection(stack, planned, start, chance).carry_out(acts))


class _Injection:
    """One planned fault; its times count from `start`."""

    def __init__(self, stack: Stack, planned: Planned, start: float, chance: Random) -> None:
        self._stack = stack
        self._planned = planned
        self._start = start
        self._fault = FAULTS[planned.fault].make(chance)

    async def carry_out(self, acts: list[Act]) -> None:
        stack, planned, fault = self._stack, self._planned, self._fault
        await self._until(planned.at - planned.lead_s)
        await fault.prepare(stack)
        await self._until(planned.at)
        act = Act(planned.fault, "", stack.elapsed())
        acts.append(act)
        try:
            await fault.begin(stack)
            act.target = fault.target
            await asyncio.sleep(planned.hold_s)
        finally:
            await fault.heal(stack)
            act.healed = stack.elapsed()
            act.effect = fault.effect

    async def _until(self, moment: float) -> None:
        await asyncio.sleep(max(self._start + moment - self._stack.elapsed(), 0.0))
