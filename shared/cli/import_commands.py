"""`laurel import`: the commands that bring data in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shared.cli import import_csv, import_oulad
from shared.cli.calls import progress_peer, run_command
from shared.cli.import_csv_columns import KINDS, KindName
from shared.cli.options import AsJson
from shared.cli.oulad_messages import MAX_ITEMS
from shared.cli.output import print_json, show

app = typer.Typer(help="Bring data in.", no_args_is_help=True)


@app.command("oulad")
def import_oulad_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="The folder with courses.csv, assessments.csv, studentInfo.csv and "
            "studentAssessment.csv.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have everything checked and nothing written.")
    ] = False,
    as_json: AsJson = False,
    batch: Annotated[
        int, typer.Option(min=1, max=MAX_ITEMS, metavar="N", help="Attempts in a message.")
    ] = 500,
) -> None:
    """Import the Open University Learning Analytics Dataset.

    Rejected rows are counted and reported, and the rest goes on. Running it again is safe: what
    is already there is replayed, and nothing is credited twice. The figures with --json are
    Laurel's own, and plain numbers.
    """
    work = import_oulad.import_oulad(progress_peer(), folder, batch=batch, dry_run=dry_run)
    counts = run_command(work)
    if as_json:
        print_json(import_oulad.counts_document(counts, dry_run=dry_run))
    else:
        show(*import_oulad.counts_tables(counts, dry_run=dry_run))


@app.command("csv", help=import_csv.HELP)
def import_csv_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="- is stdin.")],
    kind: Annotated[KindName, typer.Option(help="What a row is.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have everything checked and nothing written.")
    ] = False,
    as_json: AsJson = False,
    batch: Annotated[
        int, typer.Option(min=1, max=MAX_ITEMS, metavar="N", help="Rows in a message.")
    ] = 500,
) -> None:
    """Import rows of one kind; the help text is made of the columns."""
    work = import_csv.import_csv(progress_peer(), file, KINDS[kind], batch=batch, dry_run=dry_run)
    counts = run_command(work)
    if as_json:
        print_json(import_csv.counts_document(counts, dry_run=dry_run))
    else:
        show(*import_csv.counts_tables(counts, dry_run=dry_run))
