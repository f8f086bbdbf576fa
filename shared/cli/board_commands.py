"""The commands about boards: reading them, and rebuilding and verifying them."""

from __future__ import annotations

from typing import Annotated

import typer

from shared.cli import boards, rebuild, verify_boards
from shared.cli.boards import ModeChoice, WindowChoice
from shared.cli.calls import EXIT_FAILED, EXIT_INTERRUPTED, fail, leaderboard_peer, run_command
from shared.cli.options import AsJson, Course, Metric, Period, WindowOption
from shared.cli.output import message_document, print_json, show
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2 import GetRankRequest, GetTopRequest

app = typer.Typer()

Mode = Annotated[
    ModeChoice,
    typer.Option(
        case_sensitive=False,
        help="How equal scores are numbered: 1, 1, 3 (competition), 1, 1, 2 (dense) or 1, 2, 3 "
        "(ordinal).",
    ),
]


@app.command()
def top(
    *,
    metric: Metric = "xp",
    course: Course = "",
    window: WindowOption = WindowChoice.ALL_TIME,
    period: Period = "",
    mode: Mode = ModeChoice.COMPETITION,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many entries.")] = 20,
    after: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            help="The page that follows one that was shown, with the same options otherwise.",
        ),
    ] = "",
    user: Annotated[str, typer.Option(help="Also show where this user stands.")] = "",
    also: Annotated[
        list[WindowChoice] | None,
        typer.Option(
            case_sensitive=False,
            help="Also show each user's score in the current one of this window; repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a board from the top."""
    windows = also or []
    request = GetTopRequest(
        board=boards.board(metric, course, window, period),
        page_size=limit,
        page_token=after,
        rank_mode=mode.rank_mode,
        user_id=user,
        also_windows=[one.window for one in windows],
    )
    answer = run_command(boards.get_top(leaderboard_peer(), request))
    if as_json:
        print_json(message_document(answer))
        return
    show(boards.top_table(answer, mode, windows))
    if answer.next_page_token:
        typer.echo(f"next page: --after {answer.next_page_token}")


@app.command()
def rank(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    *,
    metric: Metric = "xp",
    course: Course = "",
    window: WindowOption = WindowChoice.ALL_TIME,
    period: Period = "",
    mode: Mode = ModeChoice.COMPETITION,
    as_json: AsJson = False,
) -> None:
    """Show where a user stands."""
    request = GetRankRequest(
        board=boards.board(metric, course, window, period),
        user_id=user,
        rank_mode=mode.rank_mode,
    )
    answer = run_command(boards.get_rank(leaderboard_peer(), request))
    if as_json:
        print_json(message_document(answer))
    else:
        show(boards.rank_table(user, answer, mode))


@app.command("rebuild")
def rebuild_command(as_json: AsJson = False) -> None:
    """Build all boards anew in Redis, beside the old ones, and swap.

    Reads go on meanwhile. Ctrl-C leaves the rebuild running; running the command again follows
    the one that runs. The figures with --json are Laurel's own, and plain numbers. Exit status: 0
    the new boards are being read, 1 failed or out of touch, 130 interrupted.
    """
    try:
        run = run_command(rebuild.rebuild(leaderboard_peer()))
    except KeyboardInterrupt:
        fail(f"interrupted. {rebuild.GOES_ON}", EXIT_INTERRUPTED)
    if as_json:
        print_json(rebuild.rebuild_document(run))
    else:
        show(rebuild.rebuild_table(run))


@app.command("verify-boards")
def verify_boards_command(
    *,
    metric: Annotated[str | None, typer.Option(help="What is counted. Default: xp.")] = None,
    course: Annotated[
        str | None, typer.Option(help="Only this course. Default: across all courses.")
    ] = None,
    window: Annotated[
        WindowChoice | None,
        typer.Option(case_sensitive=False, help="The span that is summed over. Default: all-time."),
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="Which one of the window. Default: the current one.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that the boards in Redis agree with PostgreSQL, beside live traffic.

    Without options that name a board: every board that Redis keeps. With any of them: that one
    board. The first mismatches are listed. The figures with --json are Laurel's own, and plain
    numbers. Exit status: 0 everything agrees, or was mended with --repair; 1 something does
    not, or it failed.
    """
    named = any(option is not None for option in (metric, course, window, period))
    one = boards.board(metric or "xp", course or "", window or WindowChoice.ALL_TIME, period or "")
    work = verify_boards.verify_boards(leaderboard_peer(), [one] if named else [], repair=repair)
    found = run_command(work)
    if as_json:
        print_json(verify_boards.board_findings_document(found))
    else:
        show(*verify_boards.board_findings_tables(found))
    if not found.ok:
        raise typer.Exit(EXIT_FAILED)
