"""The demo of `laurel up --demo`: a course, and learners who take it while one watches.

`python -m shared.cli.demo seed` puts the course and the learners, `play` then lets them learn
until it is stopped. Both leave alone what is not the demo's: where there is any user other than
the demo's own, `seed` ends with exit code 4 and `play` with 0, and nothing is written.
"""

import asyncio
import random
import sys
import uuid

import grpc
import structlog
from grpc import aio

from shared.channels import open_channel
from shared.cli import demo_course
from shared.cli.calls import progress_peer
from shared.cli.credentials import call_token
from shared.gen.laurel.progress.v1 import catalog_pb2, progress_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.identity import Role
from shared.logging import configure
from shared.settings import CommonSettings
from shared.tls import channel_credentials

log = structlog.get_logger(__name__)

STAYS_OUT = 4
TIMEOUT_S = 10.0
LEARNING_PAUSE_S = (0.2, 0.5)  # between two submissions: two to five a second
AWARD_PAUSE_S = (3.0, 7.0)  # between two awards, once everyone has completed everything
RETRY_PAUSE_S = (1.0, 3.0)  # when the service does not answer


class Learner:
    """One simulated learner: how far it is, and how likely its answers are right."""

    def __init__(self, user_id: str, to_do: list[catalog_pb2.Level]) -> None:
        self.user_id = user_id
        self.to_do = to_do
        self.skill = random.uniform(0.55, 0.97)

    def attempt(self) -> progress_pb2.SubmitProgressRequest:
        """The next submission: what this learner answers at its present level."""
        level = self.to_do[0]
        questions = level.question_count or 1
        right = sum(random.random() < self.skill for _ in range(questions))
        request = progress_pb2.SubmitProgressRequest(
            user_id=self.user_id,
            level_id=level.level_id,
            correct_answers=right if level.question_count else 1,
            total_questions=questions,
            request_id=_request_id(),
        )
        request.time_spent.FromSeconds(random.randint(20, 60) * questions)
        return request


class Demo:
    """The demo's calls to ProgressService, through one channel."""

    def __init__(self, channel: aio.Channel) -> None:
        self._catalog = CatalogServiceStub(channel)
        self._progress = ProgressServiceStub(channel)

    async def may_play(self) -> bool:
        """Whether there are no users yet, or none but the demo's own."""
        own = {user.user_id for user in demo_course.users()}
        request = catalog_pb2.ListUsersRequest(page_size=500)
        page = await self._catalog.ListUsers(request, timeout=TIMEOUT_S)
        return not page.next_page_token and {user.user_id for user in page.users} <= own

    async def seed(self) -> None:
        """Puts what the demo is made of, and a first submission for some; safe to repeat."""
        present = await self._catalog.ListMetrics(
            catalog_pb2.ListMetricsRequest(), timeout=TIMEOUT_S
        )
        known = {metric.metric for metric in present.metrics}
        for metric in demo_course.METRICS:
            if metric.metric not in known:
                await self._catalog.PutMetric(
                    catalog_pb2.PutMetricRequest(metric=metric), timeout=TIMEOUT_S
                )
        await self._catalog.PutCourse(
            catalog_pb2.PutCourseRequest(course=demo_course.course()), timeout=TIMEOUT_S
        )
        for user in demo_course.users():
            await self._catalog.PutUser(catalog_pb2.PutUserRequest(user=user), timeout=TIMEOUT_S)
        for learner in (await self._learners())[:5]:
            if len(learner.to_do) == len(demo_course.levels()):
                await self._learn(learner)

    async def play(self) -> None:
        """Lets the learners learn, and once all are through earn awards; until cancelled."""
        learners = await self._learners()
        log.info("demo_begins", learners=len(learners))
        while True:
            try:
                pause_s = await self._step(learners)
            except grpc.RpcError as error:
                log.warning("demo_call_failed", error=str(error))
                pause_s = random.uniform(*RETRY_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _step(self, learners: list[Learner]) -> float:
        """One submission or award; the seconds to pause after it."""
        active = [learner for learner in learners if learner.to_do]
        if active:
            await self._learn(random.choice(active))
            return random.uniform(*LEARNING_PAUSE_S)
        await self._award(random.choice(learners))
        return random.uniform(*AWARD_PAUSE_S)

    async def _learn(self, learner: Learner) -> None:
        request = learner.attempt()
        answer = await self._progress.SubmitProgress(request, timeout=TIMEOUT_S)
        if answer.status == progress_pb2.LEVEL_STATUS_COMPLETED:
            learner.to_do.pop(0)

    async def _award(self, learner: Learner) -> None:
        metric, amount, source = random.choice(
            (("pomodoros", 1, "pomodoro"), ("xp", random.randint(1, 10), "challenge"))
        )
        request = progress_pb2.AwardXpRequest(
            user_id=learner.user_id,
            metric=metric,
            amount=amount,
            source=source,
            request_id=_request_id(),
        )
        await self._progress.AwardXp(request, timeout=TIMEOUT_S)

    async def _learners(self) -> list[Learner]:
        """The learners, each with the levels that it has not completed."""
        learners = []
        for user in demo_course.users():
            answer = await self._progress.GetCourseProgress(
                progress_pb2.GetCourseProgressRequest(
                    user_id=user.user_id, course_id=demo_course.COURSE_ID
                ),
                timeout=TIMEOUT_S,
            )
            done = {
                level.level_id
                for level in answer.levels
                if level.status == progress_pb2.LEVEL_STATUS_COMPLETED
            }
            to_do = [level for level in demo_course.levels() if level.level_id not in done]
            learners.append(Learner(user.user_id, to_do))
        return learners


def _request_id() -> str:
    return f"demo-{uuid.uuid4()}"


async def main(what: str, settings: CommonSettings) -> int:
    """Seeds as an administrator, or plays as a backend; the exit code."""
    token = call_token(settings, "laurel-demo", Role.ADMIN if what == "seed" else Role.SERVICE)
    credentials = channel_credentials(settings)
    target = progress_peer().target
    async with open_channel(target, token=token, credentials=credentials) as channel:
        demo = Demo(channel)
        if not await demo.may_play():
            log.info("demo_stays_out", reason="there are users that are not the demo's")
            return STAYS_OUT if what == "seed" else 0
        if what == "seed":
            await demo.seed()
        else:
            await demo.play()
    return 0


if __name__ == "__main__":
    settings = CommonSettings.load()
    configure(settings, "demo")
    sys.exit(asyncio.run(main(sys.argv[1], settings)))
