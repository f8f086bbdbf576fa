"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from shared.cli.boards import WindowChoice

AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document. Messages of the contract are in protobuf's JSON mapping, "
        "with the contract's field names; so their int64 values are strings.",
    ),
]
Metric = Annotated[str, typer.Option(help="What is counted: xp, marks, problems_solved, …")]
Course = Annotated[str, typer.Option(help="Only this course. Without: across all courses.")]
WindowOption = Annotated[
    WindowChoice, typer.Option(case_sensitive=False, help="The span that is summed over.")
]
Period = Annotated[
    str,
    typer.Option(
        help="Which one of the window: 2026, 2026-11, 2026-W47 or 2026-11-20. Without: the "
        "current one."
    ),
]
