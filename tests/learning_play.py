"""Tells the same story to ProgressService and to the model, and compares where they end."""

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any

from shared.errors import LaurelError, NotFound
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import periods_of
from shared.status import error_from_rpc
from tests.learning_model import Learner, Model, Rule
from tests.progress import Progress, award, refused, submission

USERS, LEVELS = ("ann", "bob"), ("l1", "l2", "l3", "l4")
STATUS_OF = {pb.LEVEL_STATUS_COMPLETED: "completed", pb.LEVEL_STATUS_LOCKED: "locked"}
LEAST = timedelta(seconds=1)
"""What an attempt takes; a quick one takes no time and is under review."""
_examples = count(1)


class Play:
    """One example, told to the service and to the model; every name is of this example alone."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.model = Model()
        self.prefix = f"x{next(_examples)}-"
        self.today = datetime.now(UTC).date()
        self.entry_ids: dict[tuple[str, int], str] = {}
        self.attempt_ids: dict[tuple[str, int], str] = {}
        self.number = 0

    def name(self, short: str) -> str:
        return self.prefix + short

    async def run(self, steps: list[Any]) -> None:
        for user in USERS:
            await self.create(user)
        await self.edit({one: Rule(0.5, 50, 100, 1, ()) for one in LEVELS})
        done: list[Any] = []
        for step in steps:
            if isinstance(step, int):
                step = done[-1 - step % len(done)] if done else None  # noqa: PLW2901 - a number repeats
            if step is not None:
                await getattr(self, step[0])(*step[1:])
                done.append(step)
        await self.check()

    def moment(self, day: int) -> datetime:
        return datetime.combine(self.today - timedelta(days=day), time(0, 0, 1), UTC)

    async def create(self, user: str) -> None:
        await self.progress.put_users(self.name(user))
        self.model.learners.setdefault(user, Learner())

    async def erase(self, user: str) -> None:
        request = admin_pb2.EraseUserRequest(user_id=self.name(user))
        await quietly(self.progress.admin.EraseUser(request))
        self.model.learners.pop(user, None)
        for ids in (self.entry_ids, self.attempt_ids):
            for key in [key for key in ids if key[0] == user]:
                del ids[key]

    async def submit(
        self, user: str, level: str, correct: int, day: int, request: int, *, quick: bool = False
    ) -> None:
        # The request id stands for the contents, so that a repeated one is a repeated call.
        request_id = f"{'q' if quick else 's'}{level}{correct}{day}.{request % 3}"
        sent = submission(
            self.name(user),
            self.name(level),
            correct,
            request_id=request_id,
            occurred_time=self.moment(day),
            time_spent=timedelta() if quick else LEAST,
        )
        await quietly(self.progress.progress.SubmitProgress(sent))
        self.model.submit(user, level, correct, self.moment(day).date(), request_id, quick=quick)

    async def quick(self, user: str, level: str, correct: int, day: int, request: int) -> None:
        await self.submit(user, level, correct, day, request, quick=True)

    async def accept(self, user: str, pick: int) -> None:
        await self.resolve(user, pick, accept=True)

    async def reject(self, user: str, pick: int) -> None:
        await self.resolve(user, pick, accept=False)

    async def resolve(self, user: str, pick: int, *, accept: bool) -> None:
        learner = self.model.learners.get(user)
        waiting = [one for one in learner.attempts if one.under_review] if learner else []
        if learner is None or not waiting:
            return
        attempt = waiting[pick % len(waiting)]
        attempts = await self.progress.attempts(user_id=self.name(user))
        index = learner.attempts.index(attempt)
        await self.progress.resolve(attempts[-1 - index].attempt_id, accept=accept)
        self.model.resolve(learner, attempt, accept=accept)

    async def award(self, user: str, amount: int, day: int, reference: int, request: int) -> None:
        request_id = f"a{amount}.{day}.{reference}.{request % 3}"
        fields = {"reference": f"ref{reference}", "occurred_time": self.moment(day)}
        sent = award(self.name(user), amount, request_id=request_id, **fields)
        await quietly(self.progress.progress.AwardXp(sent))
        self.model.award(user, amount, self.moment(day).date(), f"ref{reference}", request_id)

    async def revoke(self, user: str, pick: int) -> None:
        learner = self.model.learners.get(user)
        if learner is None or not learner.entries:
            return
        index = pick % len(learner.entries)
        written = [one for one in await self.progress.entries(self.name(user)) if one.amount > 0]
        await quietly(
            self.progress.progress.RevokeXp(self.revocation(written[-1 - index].entry_id))
        )
        self.model.revoke(learner.entries[index])

    async def void(self, user: str, pick: int) -> None:
        learner = self.model.learners.get(user)
        if learner is None or not learner.attempts:
            return
        index = pick % len(learner.attempts)
        attempts = await self.progress.attempts(user_id=self.name(user))
        self.number += 1
        request = pb.VoidAttemptRequest(
            attempt_id=attempts[-1 - index].attempt_id, request_id=f"v{self.number}"
        )
        await quietly(self.progress.progress.VoidAttempt(request))
        self.model.void(learner, learner.attempts[index])

    def revocation(self, entry_id: str) -> pb.RevokeXpRequest:
        self.number += 1
        return pb.RevokeXpRequest(entry_id=entry_id, request_id=f"v{self.number}")

    async def edit(self, course: dict[str, Rule]) -> None:
        levels = [self.level(one, rule) for one, rule in course.items()]
        mode = catalog_pb2.UNLOCK_MODE_PREREQUISITES
        await self.progress.put_course(self.name("c"), *levels, mode=mode)
        # Edits of an edit that has not reached everyone yet may find other learners completed.
        if any(learner.attempts for learner in self.model.learners.values()):
            request = admin_pb2.RecalculateCourseRequest(course_id=self.name("c"))
            async for _ in self.progress.admin.RecalculateCourse(request):
                pass
        self.model.put_course(course)

    def level(self, level: str, rule: Rule) -> catalog_pb2.Level:
        reward = catalog_pb2.MetricReward(metric="problems_solved", amount=rule.problems)
        return catalog_pb2.Level(
            level_id=self.name(level),
            xp_reward=rule.xp,
            max_marks=rule.max_marks,
            pass_ratio=rule.pass_ratio,
            prerequisite_level_ids=[self.name(one) for one in rule.requires],
            rewards=[reward] if rule.problems else [],
            min_time_spent=LEAST,  # type: ignore[arg-type]
        )

    async def check(self) -> None:
        await self.progress.settled()
        for user in set(USERS) - set(self.model.learners):
            async with refused(NotFound, "USER_NOT_FOUND"):
                await self.progress.stats(self.name(user))
        for user, learner in self.model.learners.items():
            await self.check_stats(user)
            await self.check_course(user, learner)
            assert await self.scores(user) == self.model.scores(user)

    async def check_stats(self, user: str) -> None:
        stats = await self.progress.stats(self.name(user))
        today = self.model.scores(user)
        for one in stats.metrics:
            assert one.all_time == today[one.metric, False, 1, ""], one.metric
        active = self.model.active(user)
        assert stats.last_active_date == (max(active).isoformat() if active else "")
        if datetime.now(UTC).date() == self.today:
            assert stats.streak_days == self.model.streak(user, self.today)
        ledger = await self.progress.entries(self.name(user))
        totals = Counter[str]()
        for entry in ledger:
            totals[entry.metric] += entry.amount
        assert {one.metric: one.all_time for one in stats.metrics if one.all_time} == +totals
        revoked = {one.revokes_entry_id for one in ledger if one.revokes_entry_id}
        assert len(revoked) == sum(one.amount < 0 for one in ledger)

    async def check_course(self, user: str, learner: Learner) -> None:
        found = await self.progress.course_progress(self.name(user), self.name("c"))
        kept = [one for one in learner.done if one in self.model.rules]
        assert found.course.levels_completed == len(kept)
        assert found.course.marks == sum(learner.best(one) for one in self.model.rules)
        for one in found.levels:
            level = one.level_id.removeprefix(self.prefix)
            tries = learner.tries(level)
            assert (one.attempts, one.best_marks) == (len(tries), learner.best(level))
            assert one.time_spent.ToMilliseconds() == sum(each.ms for each in tries)
            locked = not learner.done.issuperset(self.model.rules[level].requires)
            status = "completed" if level in learner.done else "locked" if locked else "open"
            assert STATUS_OF.get(one.status, "open") == status, level
            paid = sum(
                e.amount
                for e in learner.entries
                if e.level == level and e.metric == "xp" and e.state == "counts"
            )
            assert one.xp_earned == paid

    async def state(self) -> list[str]:
        """All that is told of the learners, but for names and the times at which it was written."""
        found = []
        for user in USERS:
            stats = await self.progress.stats(self.name(user))
            stats.ClearField("update_time")
            stats.ClearField("position")
            course = await self.progress.course_progress(self.name(user), self.name("c"))
            found += [str(one).replace(self.prefix, "") for one in (stats, course)]
        return found

    async def scores(self, user: str) -> Counter[tuple[str, bool, int, str]]:
        found: Counter[tuple[str, bool, int, str]] = Counter()
        for metric, on_course, window, period in self.boards():
            board = types_pb2.Board(
                metric=metric,
                course_id=self.name("c") if on_course else "",
                window=types_pb2.Window.ValueType(window),
                period=period,
            )
            request = pb.BatchGetStandingsRequest(board=board, user_ids=[self.name(user)])
            for one in (await self.progress.standings.BatchGetStandings(request)).standings:
                found[metric, on_course, window, period] = one.score
        return found

    def boards(self) -> set[tuple[str, bool, int, str]]:
        """Every board on which anything ever counted."""
        return {
            (entry.metric, on_course, int(window), period)
            for learner in self.model.learners.values()
            for entry in learner.entries
            for window, period in periods_of(entry.day)
            for on_course in (False, True)
        }


async def quietly(call: Any) -> None:
    """What is refused changes nothing, which the check at the end shows."""
    try:
        await call
    except Exception as error:
        if not isinstance(error_from_rpc(error), LaurelError):  # type: ignore[arg-type]
            raise
