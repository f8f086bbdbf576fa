"""A stream of answers about all users: a progress bar on stderr while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.cli.calls import CommandError

SILENCE_S = 60.0
TOTAL_TIMEOUT_S = 24 * 3600.0


class Answer(Protocol):
    """What every answer of such a stream says."""

    @property
    def users_total(self) -> int: ...

    @property
    def users_checked(self) -> int: ...


A = TypeVar("A", bound=Answer)


async def follow(call: AsyncIterable[A], take: Callable[[A], str], what: str) -> None:
    """Call `take` with each answer; it returns what is shown beside the bar.

    Raises AioRpcError when the call fails, CommandError when it is silent for too long or ends
    before all users were checked.
    """
    answers = aiter(call)
    complete = False
    with _bar(what) as show:
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    answer = await anext(answers)
            except StopAsyncIteration:
                break
            except TimeoutError:
                message = f"ProgressService answered nothing for {SILENCE_S:.0f} s"
                raise CommandError(message, status="DEADLINE_EXCEEDED") from None
            show(answer, take(answer))
            complete = answer.users_checked == answer.users_total
    if not complete:
        raise CommandError("ProgressService ended the stream before it was complete")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[Answer, str], None]]:
    """Moves with the answers, where stderr is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("users"),
        TextColumn("{task.fields[found]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, refresh_per_second=4, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(what, total=None, found="")

        def show(answer: Answer, found: str) -> None:
            progress.update(
                task, total=answer.users_total, completed=answer.users_checked, found=found
            )

        yield show
