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


def dry(request: pb.ImportProgressRequest) -> pb.ImportProgressRequest:
    """The same, as the first message of a dry run."""
    tried = pb.ImportProgressRequest(dry_run=True)
    tried.MergeFrom(request)
    return tried


async def both(
    progress: Progress, batches: Sequence[pb.ImportProgressRequest]
) -> list[tuple[int, int, int, int, int]]:
    """What a dry run tells; the import after it must tell the same, item by item."""
    tried = await import_all(progress, [dry(batches[0]), *batches[1:]])
    done = await import_all(progress, batches)
    assert tried == done
    return [counts(one) for one in tried]


def counts(answer: pb.ImportProgressResponse) -> tuple[int, int, int, int, int]:
    return (
        answer.received,
        answer.recorded,
        answer.replayed,
        answer.rejected,
        answer.xp_credited,
    )
