"""One user at one level, for the tests of withdrawn attempts."""

from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.progress import Progress, level


async def prepared(progress: Progress, **fields: object) -> None:
    """ann, and a course of one level that pays 50 XP, 100 marks and 2 problems."""
    rewards = [catalog_pb2.MetricReward(metric="problems_solved", amount=2)]
    await progress.put_users("ann")
    await progress.put_course("c", level("l1", rewards=rewards, **fields))


async def level_of(progress: Progress, level_id: str = "l1") -> pb.LevelProgress:
    levels = (await progress.course_progress("ann", "c")).levels
    return next(one for one in levels if one.level_id == level_id)
