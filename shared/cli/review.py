"""`laurel review`: attempts under review, and deciding on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.calls import CALL_TIMEOUT_S, CommandError, Peer, connected, failure
from shared.cli.output import message_document, number, plain
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from shared.gen.laurel.progress.v1.progress_pb2 import Attempt

_OF_ONE_ATTEMPT = {
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
}
"""What is wrong with one attempt; the others are still decided on."""

_MOST_NAMED = 20
_PAGE_SIZE = 500

Which = Sequence[str] | pb.ListFlaggedAttemptsRequest
"""Attempts by their ids, or all that the queue has of a user, a course or a level."""


@dataclass
class Decisions:
    """What became of the attempts that were named. `refused`: by attempt id, why."""

    decided: list[Attempt] = field(default_factory=list)
    refused: list[tuple[str, CommandError]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As a JSON object: the attempts as they are now, and what was refused."""
        return {
            "attempts": [message_document(one) for one in self.decided],
            "refused": [
                {
                    "attempt_id": attempt_id,
                    "status": error.status,
                    "reason": error.reason,
                    "message": error.message,
                }
                for attempt_id, error in self.refused
            ],
        }


async def queue(
    peer: Peer, request: pb.ListFlaggedAttemptsRequest
) -> pb.ListFlaggedAttemptsResponse:
    """A page of attempts under review, oldest first."""
    async with connected(peer) as channel:
        stub = ProgressAdminServiceStub(channel)
        return await stub.ListFlaggedAttempts(request, timeout=CALL_TIMEOUT_S)


async def decide(peer: Peer, which: Which, *, accept: bool, reason: str) -> Decisions:
    """Decides on one after the other; one that is refused does not hold up the others. The queue
    is read page by page meanwhile.

    Raises CommandError when the service does not answer; what was decided before stays so.
    """
    made = Decisions()
    try:
        async with connected(peer) as channel:
            stub = ProgressAdminServiceStub(channel)
            async for attempt_id in _ids(stub, which):
                request = pb.ResolveFlaggedAttemptRequest(
                    attempt_id=attempt_id, accept=accept, reason=reason
                )
                try:
                    answer = await stub.ResolveFlaggedAttempt(request, timeout=CALL_TIMEOUT_S)
                except aio.AioRpcError as error:
                    if error.code() not in _OF_ONE_ATTEMPT:
                        raise
                    made.refused.append((attempt_id, failure(error, peer)))
                else:
                    made.decided.append(answer.attempt)
    except CommandError as error:
        if not made.decided:
            raise
        raise error.and_also(f"Decided on before that: {_named(made.decided)}") from error
    return made


async def _ids(stub: ProgressAdminServiceStub, which: Which) -> AsyncIterator[str]:
    if not isinstance(which, pb.ListFlaggedAttemptsRequest):
        for attempt_id in which:
            yield attempt_id
        return
    request = pb.ListFlaggedAttemptsRequest()
    request.CopyFrom(which)
    request.page_size = _PAGE_SIZE
    while True:
        page = await stub.ListFlaggedAttempts(request, timeout=CALL_TIMEOUT_S)
        for one in page.attempts:
            yield one.attempt_id
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def _named(attempts: Sequence[Attempt]) -> str:
    if len(attempts) > _MOST_NAMED:
        return f"{len(attempts):,} attempts"
    return ", ".join(one.attempt_id for one in attempts)


def queue_table(answer: pb.ListFlaggedAttemptsResponse) -> RenderableType:
    """The attempts, and what each is held for."""
    if not answer.attempts:
        return Text("No attempt is under review.")
    return _table(answer.attempts, "held for")


def decided_table(made: Decisions) -> RenderableType:
    """The attempts as the decisions leave them."""
    return _table(made.decided, "reason")


def _table(attempts: Sequence[Attempt], why: str) -> Table:
    table = Table()
    for name in ("attempt", "score", "marks", "time spent"):
        table.add_column(name, justify="right")
    for name in ("user", "level", "occurred", "state", why):
        table.add_column(name)
    for one in attempts:
        seconds = one.time_spent.ToMilliseconds() / 1000
        table.add_row(
            plain(one.attempt_id),
            Text(f"{one.correct_answers:,}/{one.total_questions:,}"),
            number(one.marks),
            Text(f"{seconds:,.1f} s"),
            plain(one.user_id),
            plain(one.level_id),
            Text(_time(one.occurred_time)),
            Text(_state(one)),
            plain(one.reason),
        )
    return table


def _state(attempt: Attempt) -> str:
    if attempt.under_review:
        return "under review"
    return "voided" if attempt.voided else "accepted"


def _time(moment: Timestamp) -> str:
    return f"{moment.ToDatetime(UTC):%Y-%m-%d %H:%M:%S} UTC"
