"""The `laurel` command: starts the pair, fills it and asks it. Clients speak gRPC alone."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from shared.cli import (
    backfill,
    board_commands,
    import_commands,
    review_commands,
    status,
    status_tables,
    status_watch,
    verify,
)
from shared.cli.calls import EXIT_FAILED, fail, leaderboard_peer, progress_peer, run_command
from shared.cli.options import AsJson
from shared.cli.output import print_json, show
from shared.cli.token import token_command

app = typer.Typer(
    name="laurel",
    help="Progress and leaderboards: start the pair, fill it, and ask it.\n\n"
    "The services are found at LAUREL_PROGRESS_ADDRESS and LAUREL_LEADERBOARD_ADDRESS, by default "
    "on this machine at LAUREL_PROGRESS_PORT (50051) and LAUREL_LEADERBOARD_PORT (50052). They are "
    "called as an administrator, with a token from LAUREL_CALL_TOKEN_FILE or one that is signed "
    "with LAUREL_AUTH_SECRET or the secret in LAUREL_HOME.\n\n"
    "Exit status: 0 done, 1 failed (one line on stderr says why), 2 wrong usage or a bad setting, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(import_commands.app, name="import")
app.add_typer(board_commands.app)
app.add_typer(review_commands.app, name="review")
app.command("token")(token_command)


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


@app.command("verify")
def verify_command(as_json: AsJson = False) -> None:
    """Check that totals and standings agree with the ledger, and progress with the attempts.

    Everything is compared at one position, beside live traffic. The first mismatches are listed.
    The figures with --json are Laurel's own, and plain numbers. Exit status: 0 everything agrees,
    1 something does not, or it failed.
    """
    found = run_command(verify.verify(progress_peer()))
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
    work = backfill.backfill(progress_peer(), dry_run=dry_run, credit_missing=credit_missing)
    changes = run_command(work)
    if as_json:
        print_json(backfill.changes_document(changes, dry_run=dry_run))
    else:
        show(*backfill.changes_tables(changes, dry_run=dry_run))


@app.command("status")
def status_command(
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Ask every second until Ctrl-C: drawn anew in place on a terminal, else a line "
            "(with --json a document on a line) each time.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how both services are. Exit status 1 if one does not answer or does not serve.

    With --watch also how many answers per second come from each store; a service that does not
    answer is shown as such, and asked again. It ends with status 130, by Ctrl-C.
    """
    progress, leaderboard = progress_peer(), leaderboard_peer()
    if watch:
        run_command(status_watch.watch(progress, leaderboard, as_json=as_json))
    states = run_command(status.both_states(progress, leaderboard))
    if as_json:
        print_json(states.document())
    else:
        show(*status_tables.state_views(states))
    if not states.ok:
        raise typer.Exit(EXIT_FAILED)
