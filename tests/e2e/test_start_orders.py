"""The four processes start and stop in any order, and all is well again by itself."""

import asyncio
import random
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from tests.e2e.four_processes import SERVICES, USERS, FourProcesses, Part, until

RECOVERED_S = 15.0
"""From when the last of the four is up, to when an award is on the board in Redis."""
ORDERS = list(permutations(Part))
LOST = [
    (Part.POSTGRESQL,),
    (Part.REDIS,),
    (Part.POSTGRESQL, Part.REDIS),
    (Part.LEADERBOARD, Part.POSTGRESQL),
    (Part.PROGRESS, Part.REDIS),
    (Part.PROGRESS, Part.LEADERBOARD),
]
# Quick on a machine of its own; every start is some processor time, which others may want too.
pytestmark = pytest.mark.timeout(300)
SEED = 20_261_120

Record = Callable[[str, object], None]


async def recovered(four: FourProcesses, number: int) -> float:
    """Seconds until one more award is on the board."""
    began = time.monotonic()
    await four.award(USERS[number % 3], number + 1)
    await until(four.is_right, RECOVERED_S, "the award is on the board in Redis")
    return time.monotonic() - began


async def started(four: FourProcesses, order: tuple[Part, ...]) -> None:
    """One after the other; those that are up wait, and say that they cannot serve."""
    running: set[Part] = set()
    for part in order:
        await four.start(part)
        running.add(part)
        if Part.POSTGRESQL not in running:
            for service in running.intersection(SERVICES):
                # With no PostgreSQL nothing is right but boards that Redis has kept.
                if service is Part.PROGRESS or Part.REDIS not in running:
                    assert await four.health(service) == 2, f"{service} says it serves"
        await four.check_answers()


async def stopped(four: FourProcesses, order: tuple[Part, ...], chance: random.Random) -> None:
    for part in order:
        await four.stop(part, kill=chance.random() < 0.5)
        await four.check_answers()


async def all_orders(folder: Path, orders: list[tuple[Part, ...]], *, persist: bool) -> list[float]:
    chance = random.Random(SEED + persist)
    took: list[float] = []
    async with FourProcesses(folder, persist=persist) as four:
        downs = chance.sample(ORDERS, len(orders))
        for number, (up, down) in enumerate(zip(orders, downs, strict=True)):
            await started(four, up)
            took.append(await recovered(four, number))
            await stopped(four, down, chance)
    return took


async def test_whatever_the_order_of_start_and_stop_the_boards_are_right_by_themselves(
    scratch: Path, record_property: Record
) -> None:
    shuffled = random.Random(SEED).sample(ORDERS, len(ORDERS))
    half = len(shuffled) // 2
    first, second = await asyncio.gather(
        all_orders(scratch / "kept", shuffled[:half], persist=True),
        all_orders(scratch / "lost", shuffled[half:], persist=False),
    )
    took = sorted(first + second)
    record_property(
        "measured",
        f"{len(took)} orders of start: right again after {took[len(took) // 2]:.1f} s, "
        f"at most {took[-1]:.1f} s",
    )


async def test_what_is_lost_and_comes_back_ends_no_other_process(
    scratch: Path, record_property: Record
) -> None:
    took: list[float] = []
    async with FourProcesses(scratch / "back", persist=False) as four:
        await started(four, tuple(Part))
        await recovered(four, 0)
        for number, lost in enumerate(LOST):
            for part in lost:
                await four.stop(part, kill=bool(number % 2))
                await four.check_answers()
            for part in lost:
                await four.start(part)
                await four.check_answers()
            took.append(await recovered(four, number))
    record_property("measured", f"right again at most {max(took):.1f} s after a loss")
