"""What never ends is broken off."""

import asyncio

import pytest
import uvloop

from tests.faults.watchdog import Stuck, watchdog


async def _never_ends() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def _leaves_one_behind() -> None:
    asyncio.get_running_loop().create_task(_never_ends())
    await asyncio.sleep(0)


def test_a_task_that_does_not_let_itself_be_cancelled_is_named() -> None:
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with pytest.raises(Stuck, match="_never_ends"), watchdog(runner, 0.3), runner:
        runner.run(_leaves_one_behind())


def test_what_ends_is_left_alone() -> None:
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with watchdog(runner, 60), runner:
        assert runner.run(asyncio.sleep(0, "done")) == "done"
