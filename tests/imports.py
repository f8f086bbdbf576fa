"""Imports as their tests send them."""

from collections.abc import Sequence
from typing import Any

from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from tests.progress import Progress, submission


def attempt(
    user_id: str, level_id: str, correct: int | None, request_id: str, **fields: Any
) -> pb.ImportedAttempt:
    without_xp = fields.pop("without_xp", False)
    sent = submission(user_id, level_id, correct, 10, request_id, **fields)
    return pb.ImportedAttempt(attempt=sent, without_xp=without_xp)


def batch(*attempts: pb.ImportedAttempt, **parts: Any) -> pb.ImportProgressRequest:
    return pb.ImportProgressRequest(attempts=attempts, **parts)


async def import_all(
    progress: Progress, batches: Sequence[pb.ImportProgressRequest]
) -> list[pb.ImportProgressResponse]:
    """Every answer to the batches, which are all sent without waiting for answers."""
    call = progress.admin.ImportProgress(iter(batches))
    return [answer async for answer in call]


async def next_answer(call: Any) -> pb.ImportProgressResponse:
    answer = await call.read()
    assert isinstance(answer, pb.ImportProgressResponse)
    return answer


def counts(answer: pb.ImportProgressResponse) -> tuple[int, int, int, int, int]:
    return (
        answer.received,
        answer.recorded,
        answer.replayed,
        answer.rejected,
        answer.xp_credited,
    )
