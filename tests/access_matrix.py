"""The matrix of RPCs and callers: what each gets, held against what it must get."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from grpc import aio

from shared.embedded.public_methods import methods, path_of
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from tests.byte_call import Answer, call
from tests.callers import PEOPLE, Caller, Refusal
from tests.progress import award, level, submission
from tests.who_may import RPCS, SELF_AWARDED, Rpc, Target

METHODS = {path_of(method): method for method in methods()}
TIMEOUT_S = 30.0
ALL = 10_000
RefusalOf = Callable[[Caller, Rpc], Refusal | None]


@dataclass(frozen=True)
class Doors:
    """Ways to both services. Through a gateway they are one."""

    progress: aio.Channel
    leaderboard: aio.Channel

    async def ask(self, rpc: Rpc, target: Target, authorization: str) -> Answer:
        """One call of the RPC about the target."""
        return await call(
            self.progress if rpc.is_of_progress else self.leaderboard,
            METHODS[rpc.path],
            rpc.request(target).SerializeToString(),
            metadata=(("authorization", authorization),) if authorization else (),
            timeout_s=TIMEOUT_S,
            # The others end by themselves.
            read=1 if rpc.name.startswith("Watch") else ALL,
        )

    async def ask_all(
        self, rpcs: Iterable[Rpc], target: Target, authorization: str
    ) -> dict[str, Answer]:
        """One call of each RPC, all at once; the answers by path."""
        asked = list(rpcs)
        answers = await asyncio.gather(*(self.ask(one, target, authorization) for one in asked))
        return {rpc.path: answer for rpc, answer in zip(asked, answers, strict=True)}


NOWHERE = Target(
    user_id="nobody",
    course_id="no-course",
    level_id="no-level",
    attempt_id="999999999",
    entry_id="999999999",
    consistency_token="none",
)
"""Nothing of it exists."""


async def put_scene(progress: aio.Channel) -> dict[str, Target]:
    """Fills an empty ProgressService, as an administrator: what callers ask about, by user."""
    put, record = CatalogServiceStub(progress), ProgressServiceStub(progress)
    section = catalog.Section(section_id="s", levels=[level("l1")])
    course = catalog.Course(course_id="c", unlock_mode=catalog.UNLOCK_MODE_OPEN, sections=[section])
    await put.PutCourse(catalog.PutCourseRequest(course=course))
    metric = catalog.Metric(metric=SELF_AWARDED, max_self_award=10)
    await put.PutMetric(catalog.PutMetricRequest(metric=metric))
    targets = {}
    for user_id in PEOPLE:
        user = catalog.User(user_id=user_id)
        await put.PutUser(catalog.PutUserRequest(user=user))
        attempt = await record.SubmitProgress(submission(user_id, "l1"))
        credit = await record.AwardXp(award(user_id, 5))
        targets[user_id] = Target(
            user_id, "c", "l1", attempt.attempt_id, credit.entry_id, credit.consistency_token
        )
    return targets


async def wrongly_answered(
    doors: Doors, caller: Caller, targets: dict[str, Target], refusal_of: RefusalOf
) -> dict[str, Answer]:
    """The calls that must be refused and are not, or for another reason, or in other words when
    there is nothing of what they ask about; by path, none if all is well.
    """
    refusals = {rpc: refusal for rpc in RPCS if (refusal := refusal_of(caller, rpc))}
    target = targets[caller.about]
    answers = await doors.ask_all(refusals, target, caller.authorization)
    # A user who asks about itself goes on doing so: about another it is refused for that.
    absent = replace(NOWHERE, user_id=caller.subject) if caller.asks_about_itself else NOWHERE
    same = await doors.ask_all(refusals, absent, caller.authorization)
    return {
        rpc.path: answers[rpc.path]
        for rpc, refusal in refusals.items()
        if (answers[rpc.path].code, answers[rpc.path].reason) != refusal
        or same[rpc.path] != answers[rpc.path]
    }


async def wrongly_refused(
    doors: Doors, caller: Caller, targets: dict[str, Target], refusal_of: RefusalOf
) -> dict[str, Answer]:
    """The other calls that are not answered as they are when all is well; by path.

    They are made one after the other, as some would keep others from theirs; last the one after
    which there is nobody to ask about.
    """
    wrong = {}
    for rpc in sorted(RPCS, key=lambda rpc: rpc.name == "EraseUser"):
        if refusal_of(caller, rpc) is None:
            answer = await doors.ask(rpc, targets[caller.about], caller.authorization)
            if answer.code is not rpc.answer:
                wrong[rpc.path] = answer
    return wrong
