"""`laurel review`: the commands of those who decide on implausible attempts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from shared.cli import review
from shared.cli.calls import EXIT_FAILED, one_line, progress_peer, run_command
from shared.cli.options import AsJson
from shared.cli.output import message_document, print_json, show
from shared.gen.laurel.progress.v1.admin_pb2 import ListFlaggedAttemptsRequest

app = typer.Typer(invoke_without_command=True)

AttemptIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ATTEMPT]...", help="Ids, as the list shows them.", show_default=False),
]
User = Annotated[str | None, typer.Option(metavar="ID", help="Attempts of this user.")]
Course = Annotated[str | None, typer.Option(metavar="ID", help="Attempts in this course.")]
Level = Annotated[str | None, typer.Option(metavar="ID", help="Attempts at this level.")]


@app.callback()
def list_command(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many attempts.")] = 50,
    after: Annotated[
        str,
        typer.Option(
            metavar="TOKEN", help="The page that follows one that was shown, of the same attempts."
        ),
    ] = "",
    user: User = None,
    course: Course = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """List attempts under review, oldest first, or decide on them.

    An attempt that is implausible counts for nothing until it is accepted.
    """
    request = _queue(user, course, level)
    if context.invoked_subcommand is not None:
        if request.ByteSize():
            word = context.invoked_subcommand
            raise typer.BadParameter(f"--user, --course and --level go after {word}")
        return
    request.page_size, request.page_token = limit, after
    answer = run_command(review.queue(progress_peer(), request))
    if as_json:
        print_json(message_document(answer))
        return
    show(review.queue_table(answer))
    if answer.next_page_token:
        typer.echo(f"next page: --after {answer.next_page_token}")


@app.command("accept")
def accept_command(
    attempts: AttemptIds = None,
    user: User = None,
    course: Course = None,
    level: Level = None,
    reason: Annotated[str, typer.Option(help="Why; it is shown with the attempt.")] = "",
    as_json: AsJson = False,
) -> None:
    """Have attempts count, and pay what they earn.

    Those that are named; or with --user, --course or --level all of these that wait. One that
    cannot be decided on does not hold up the others; exit status 1 then.
    """
    which = _which(attempts, _queue(user, course, level))
    _decide(which, accept=True, reason=reason, as_json=as_json)


@app.command("reject")
def reject_command(
    *,
    attempts: AttemptIds = None,
    user: User = None,
    course: Course = None,
    level: Level = None,
    reason: Annotated[str, typer.Option(help="Why; it is shown with the attempt.")],
    as_json: AsJson = False,
) -> None:
    """Withdraw attempts, for good.

    Those that are named; or with --user, --course or --level all of these that wait. One that
    cannot be decided on does not hold up the others; exit status 1 then.
    """
    which = _which(attempts, _queue(user, course, level))
    _decide(which, accept=False, reason=reason, as_json=as_json)


def _queue(user: str | None, course: str | None, level: str | None) -> ListFlaggedAttemptsRequest:
    # In a script a variable that is not set would mean everyone.
    if "" in (user, course, level):
        raise typer.BadParameter("--user, --course and --level take an id")
    return ListFlaggedAttemptsRequest(
        user_id=user or "", course_id=course or "", level_id=level or ""
    )


def _which(attempts: list[str] | None, queue: ListFlaggedAttemptsRequest) -> review.Which:
    if bool(attempts) == bool(queue.ByteSize()):
        raise typer.BadParameter("name attempts, or say --user, --course or --level")
    return attempts or queue


def _decide(which: review.Which, *, accept: bool, reason: str, as_json: bool) -> None:
    made = run_command(review.decide(progress_peer(), which, accept=accept, reason=reason))
    if as_json:
        print_json(made.document())
    else:
        if made.decided:
            show(review.decided_table(made))
        if isinstance(which, ListFlaggedAttemptsRequest):
            what = "accepted" if accept else "rejected"
            typer.echo(f"attempts {what}: {len(made.decided):,}")
    for attempt_id, error in made.refused:
        sys.stderr.write(one_line(f"laurel: attempt {attempt_id}: {error.line()}") + "\n")
    if made.refused:
        raise typer.Exit(EXIT_FAILED)
