"""Breaks off what never ends, and says where each task of its loop stands."""

import asyncio
import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stuck(KeyboardInterrupt):
    """It did not end in time. Of this kind, since a loop lets no other out of a handler."""


@contextmanager
def watchdog(runner: asyncio.Runner, seconds: float) -> Iterator[None]:
    """Raises Stuck in the main thread, which the block must be in, when the block takes longer."""
    loop = runner.get_loop()

    def bark(_number: int, _frame: FrameType | None) -> None:
        raise Stuck(_stacks(asyncio.all_tasks(loop)))

    before = signal.signal(signal.SIGUSR1, bark)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGUSR1))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)


def _stacks(tasks: set[asyncio.Task[object]]) -> str:
    told = io.StringIO()
    for task in tasks:
        task.print_stack(file=told)
    return told.getvalue()
