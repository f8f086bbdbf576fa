"""64 writers on 50 users, all kinds of calls at once: nothing breaks, and everything adds up."""

import asyncio
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from grpc import StatusCode, aio

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_rpc
from tests.conftest import running_progress
from tests.progress import Progress, award, level, submission

WRITERS, USERS, SECONDS = 64, 50, 20.0
LEVELS = [f"l{n}" for n in range(12)]
ZONES = ["", "Asia/Jakarta", "America/New_York", "Pacific/Auckland", "Pacific/Kiritimati"]
OUR_FAULT = {
    StatusCode.INTERNAL,
    StatusCode.UNKNOWN,
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.UNIMPLEMENTED,
    StatusCode.ABORTED,
}


class Writer:
    """Calls at random until the time is over, and keeps what came of it."""

    def __init__(self, progress: Progress, number: int, outcomes: Counter[str]) -> None:
        self.progress = progress
        self.chance = random.Random(number)
        self.number = number
        self.outcomes = outcomes
        self.entry_ids: list[str] = ["1"]
        self.attempt_ids: list[str] = ["1"]
        self.sent: list[pb.SubmitProgressRequest] = []
        self.calls = 0

    async def run(self, until: float) -> None:
        acts = [
            *[self.submit] * 40,
            *[self.award] * 20,
            *[self.send_again] * 10,
            *[self.revoke] * 8,
            *[self.void] * 8,
            *[self.put_user] * 8,
            *[self.freeze] * 3,
            *[self.look] * 6,
        ]
        if self.number < 4:
            acts += [self.edit, self.reset, self.erase, self.backfill, self.recalculate] * 6
        while time.monotonic() < until:
            act = self.chance.choice(acts)
            try:
                await act()
                self.outcomes[act.__name__] += 1
            except aio.AioRpcError as error:
                reason = error_from_rpc(error).reason
                if error.code() in OUR_FAULT:
                    pytest.fail(f"{act.__name__}: {error.code()} {reason} {error.details()}")
                self.outcomes[reason] += 1

    @property
    def user_id(self) -> str:
        return f"u{self.chance.randrange(USERS)}"

    @property
    def request_id(self) -> str:
        self.calls += 1
        return f"w{self.number}.{self.calls}"

    @property
    def moment(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=self.chance.randrange(24 * 40))

    async def submit(self) -> None:
        request = submission(
            self.user_id,
            self.chance.choice(LEVELS),
            self.chance.randrange(11),
            request_id=self.request_id,
            occurred_time=self.moment,
            time_spent=timedelta(seconds=self.chance.randrange(100)),
        )
        self.sent.append(request)
        answer = await self.progress.progress.SubmitProgress(request)
        self.attempt_ids.append(answer.attempt_id)

    async def send_again(self) -> None:
        if self.sent:
            await self.progress.progress.SubmitProgress(self.chance.choice(self.sent))

    async def award(self) -> None:
        answer = await self.progress.progress.AwardXp(
            award(
                self.user_id,
                self.chance.randrange(1, 50),
                metric=self.chance.choice(["xp", "pomodoros", "problems_solved"]),
                source=self.chance.choice(["challenge", "admin"]),
                reference=self.chance.choice(["", "", f"r{self.chance.randrange(200)}"]),
                course_id=self.chance.choice(["", "c"]),
                request_id=self.request_id,
                occurred_time=self.moment,
            )
        )
        self.entry_ids.append(answer.entry_id)

    async def revoke(self) -> None:
        entry_id = self.chance.choice(self.entry_ids)
        if self.chance.random() < 0.5:
            entries = await self.progress.entries(self.user_id)
            entry_id = self.chance.choice(entries).entry_id if entries else entry_id
        await self.progress.revoke(entry_id, self.request_id)

    async def void(self) -> None:
        request = pb.VoidAttemptRequest(
            attempt_id=self.chance.choice(self.attempt_ids), request_id=self.request_id
        )
        await self.progress.progress.VoidAttempt(request)

    async def put_user(self) -> None:
        user = catalog_pb2.User(
            user_id=self.user_id,
            display_name=f"by {self.number}",
            hidden=self.chance.random() < 0.2,
            time_zone=self.chance.choice(ZONES),
        )
        await self.progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))

    async def freeze(self) -> None:
        request = pb.GrantStreakFreezesRequest(
            user_id=self.user_id, days=1, request_id=self.request_id
        )
        await self.progress.progress.GrantStreakFreezes(request)

    async def look(self) -> None:
        user_id = self.user_id
        await self.progress.stats(user_id)
        await self.progress.course_progress(user_id, "c")

    async def edit(self) -> None:
        kept = [one for one in LEVELS if self.chance.random() < 0.8] or LEVELS
        ratio = self.chance.choice([0.0, 0.3, 0.5, 0.9])
        mode = self.chance.choice(
            [catalog_pb2.UNLOCK_MODE_OPEN, catalog_pb2.UNLOCK_MODE_SEQUENTIAL]
        )
        await self.progress.put_course(
            "c", *[level(one, pass_ratio=ratio) for one in kept], mode=mode
        )

    async def reset(self) -> None:
        board = types_pb2.Board(
            metric="xp",
            course_id=self.chance.choice(["", "c"]),
            window=self.chance.choice([types_pb2.WINDOW_WEEK, types_pb2.WINDOW_MONTH]),
        )
        request = admin_pb2.ResetWindowRequest(board=board, request_id=self.request_id)
        await self.progress.admin.ResetWindow(request)

    async def erase(self) -> None:
        user_id = self.user_id
        await self.progress.admin.EraseUser(admin_pb2.EraseUserRequest(user_id=user_id))
        await self.progress.put_users(user_id)

    async def backfill(self) -> None:
        request = admin_pb2.BackfillTotalsRequest(credit_missing=self.chance.random() < 0.5)
        last = [one async for one in self.progress.admin.BackfillTotals(request)][-1]
        assert (last.users_updated, last.standings_corrected) == (0, 0)

    async def recalculate(self) -> None:
        request = admin_pb2.RecalculateCourseRequest(course_id="c")
        async for _ in self.progress.admin.RecalculateCourse(request):
            pass


async def verified(progress: Progress) -> Any:
    """The last answer of a verification; it must have found nothing."""
    call = progress.admin.VerifyLedger(admin_pb2.VerifyLedgerRequest())
    answers = [one async for one in call]
    assert not [mismatch for one in answers for mismatch in one.mismatches]
    return answers[-1]


@pytest.mark.timeout(180)
async def test_64_writers_on_50_users_leave_nothing_to_find(
    postgres_url: str, record_property: Any
) -> None:
    outcomes = Counter[str]()
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, log_level="error")
    async with running_progress(settings) as progress:
        await progress.put_users(*[f"u{n}" for n in range(USERS)])
        await progress.put_course("c", *[level(one) for one in LEVELS])
        until = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(Writer(progress, number, outcomes).run(until))
            while time.monotonic() < until:
                await verified(progress)
        await progress.settled()
        checked = await verified(progress)
        assert checked.users_checked == checked.users_total >= USERS
        async with progress.sql() as sql:
            deadlocks = await sql.fetchval(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )
    # Each kind of call went through, and not once or twice.
    for act in ("submit", "award", "send_again", "revoke", "void", "put_user", "freeze"):
        assert outcomes[act] > 20, outcomes
    for act in ("edit", "reset", "erase", "backfill", "recalculate"):
        assert outcomes[act] > 0, outcomes
    record_property(
        "measured",
        f"{WRITERS} writers, {SECONDS:g} s: {sum(outcomes.values())} calls, {deadlocks} deadlocks "
        f"that no client saw; {dict(outcomes)}",
    )
