"""A course in which a quick attempt is put under review, and short ways to make one."""

from datetime import UTC, datetime, timedelta

from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.progress import Progress, level

LEAST = timedelta(seconds=30)
QUICK = LEAST - timedelta(milliseconds=1)
THEN = datetime(2026, 3, 5, 12, tzinfo=UTC)
_PROBLEMS = [catalog_pb2.MetricReward(metric="problems_solved", amount=2)]


def timed(level_id: str, **fields: object) -> catalog_pb2.Level:
    """A level of 50 XP, 100 marks and 2 problems that takes at least 30 s."""
    return level(level_id, min_time_spent=LEAST, rewards=_PROBLEMS, **fields)


async def prepared(progress: Progress) -> None:
    """Ann, bob and a sequential course of two such levels."""
    await progress.put_users("ann", "bob")
    mode = catalog_pb2.UNLOCK_MODE_SEQUENTIAL
    await progress.put_course("c", timed("l1"), timed("l2"), mode=mode)


async def quick(
    progress: Progress, user_id: str = "ann", level_id: str = "l1", **fields: object
) -> pb.SubmitProgressResponse:
    """An attempt that took too little time, so it is under review."""
    given = {"time_spent": QUICK, "occurred_time": THEN, **fields}
    answer = await progress.submit(user_id, level_id, **given)  # type: ignore[arg-type]
    assert answer.under_review
    return answer


async def slow(
    progress: Progress, user_id: str = "ann", level_id: str = "l1", **fields: object
) -> pb.SubmitProgressResponse:
    """An attempt that took long enough."""
    answer = await progress.submit(user_id, level_id, time_spent=LEAST, **fields)  # type: ignore[arg-type]
    assert not answer.under_review
    return answer
