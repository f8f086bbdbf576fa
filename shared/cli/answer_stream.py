"""A long stream of answers, followed to its end, and the progress bar on stderr beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.cli.calls import CommandError, Peer

SILENCE_S = 60.0
TOTAL_TIMEOUT_S = 24 * 3600.0

A = TypeVar("A")


@dataclass(frozen=True)
class Reached:
    """How far a stream is: so many of `total` (0: not known yet), and words beside the bar."""

    done: int
    total: int
    words: str
    complete: bool


Show: TypeAlias = Callable[[Reached], None]


async def follow(
    call: AsyncIterable[A], take: Callable[[A], Reached], show: Show, peer: Peer
) -> None:
    """Call `take` with each answer, and show what it returns.

    Raises AioRpcError when the call fails, CommandError when it is silent for SILENCE_S or ends
    before it was complete.
    """
    answers = aiter(call)
    complete = False
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                answer = await anext(answers)
        except StopAsyncIteration:
            break
        except TimeoutError:
            message = f"{peer.name} answered nothing for {SILENCE_S:.0f} s"
            raise CommandError(message, status="DEADLINE_EXCEEDED") from None
        reached = take(answer)
        show(reached)
        complete = reached.complete
    if not complete:
        raise CommandError(f"{peer.name} ended the stream before it was complete")


@contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Show]:
    """Moves with what it is shown, where stderr is a terminal; shows nothing elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, refresh_per_second=4, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(what, total=None, unit=unit, words="")

        def show(reached: Reached) -> None:
            # The total may be an estimate that what is done has passed.
            total = max(reached.total, reached.done) or None
            progress.update(task, total=total, completed=reached.done, words=reached.words)

        yield show
