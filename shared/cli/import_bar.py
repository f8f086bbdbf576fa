"""The progress bar of an import, on stderr where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Show = Callable[[str, int, str], None]


@contextmanager
def progress_bar(total: int | None) -> Iterator[Show]:
    """Call what it yields to show what is being done, how much of the total is done, and figures
    beside the bar. Without a total, the bar only says that something is being done.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, refresh_per_second=4, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("starting", total=total, figures="")

        def show(what: str, done: int, figures: str) -> None:
            progress.update(task, description=what, completed=done, figures=figures)

        yield show
