"""How VerifyLedger streams: beside writers, for slow readers, cut, and too much of it."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest

from progress_service.verification import MESSAGE_SIZE, Verification, Verified
from shared.errors import FailedPrecondition, ResourceExhausted, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.audit import damage, scene, verified, verify
from tests.progress import Progress, eventually, level, refused

OURS = """datname = current_database() AND application_name = 'laurel_progress'
          AND pid <> pg_backend_pid()"""
IN_TRANSACTION = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND xact_start IS NOT NULL"
WAITING = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"
# Names as long as they may be, so that many do not fit into what gRPC buffers.
STRAY_TOTALS = """INSERT INTO user_totals
                  SELECT lpad(n::text, 64, 'x'), 'xp', n FROM generate_series(1, {}) n"""


async def count(progress: Progress, statement: str) -> int:
    async with progress.sql() as sql:
        return int(await sql.fetchval(statement))


async def test_writers_at_work_raise_no_false_alarm(progress: Progress) -> None:
    users = [f"u{n}" for n in range(20)]
    await progress.put_users(*users)
    await progress.put_course("c", *[level(f"l{n}") for n in range(6)])
    until = time.monotonic() + 4

    async def write(number: int) -> None:
        chance = random.Random(number)
        entry_ids: list[str] = []
        attempt_ids: list[str] = []
        while time.monotonic() < until:
            user_id = chance.choice(users)
            match chance.randrange(6):
                case 0 | 1:
                    answer = await progress.submit(
                        user_id, f"l{chance.randrange(6)}", chance.randrange(11)
                    )
                    attempt_ids.append(answer.attempt_id)
                case 2 | 3:
                    credit = await progress.award(user_id, chance.randint(1, 9), course_id="c")
                    entry_ids.append(credit.entry_id)
                case 4 if entry_ids:
                    await progress.revoke(entry_ids.pop())
                case 5 if attempt_ids:
                    await progress.void(attempt_ids.pop())
                case _:
                    user = catalog.User(user_id=user_id, hidden=chance.random() < 0.5)
                    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))

    verifications = 0
    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(write(number))
        while time.monotonic() < until:
            assert (await verify(progress))[0] == []
            verifications += 1
    await verified(progress)
    assert verifications > 3


async def test_everything_is_as_of_one_position_however_long_it_takes(progress: Progress) -> None:
    await scene(progress)
    before = await progress.settled()
    async with progress.sql() as sql, sql.transaction():
        # The position is read before the verification comes to a halt here.
        await sql.execute("LOCK TABLE user_totals IN ACCESS EXCLUSIVE MODE")
        verifying = asyncio.create_task(verify(progress))

        async def waits() -> bool:
            return await count(progress, WAITING) == 1

        await eventually(waits, "the verification waits for the table")
        await sql.execute("UPDATE user_totals SET total = total + 1 WHERE user_id = 'ann'")
    found, position = await verifying
    assert (found, position) == ([], before)
    assert len((await verify(progress))[0]) == 3


async def test_beyond_two_verifications_at_once_callers_are_told_when_to_retry(
    progress: Progress,
) -> None:
    await scene(progress)
    async with progress.sql() as sql:
        async with sql.transaction():
            await sql.execute("LOCK TABLE user_totals IN ACCESS EXCLUSIVE MODE")
            calls = [asyncio.create_task(verify(progress)) for _ in range(2)]

            async def all_wait() -> bool:
                return await count(progress, WAITING) == 2

            await eventually(all_wait, "two verifications are under way")
            async with refused(ResourceExhausted, "TOO_MANY_VERIFICATIONS") as errors:
                await verify(progress)
            assert errors[0].retry_delay_s
        for call in calls:
            assert (await call)[0] == []
    await verified(progress)


async def test_a_verification_that_is_cut_ends_in_the_database_too(progress: Progress) -> None:
    await scene(progress)
    async with progress.sql() as sql, sql.transaction():
        await sql.execute("LOCK TABLE user_totals IN ACCESS EXCLUSIVE MODE")
        for _ in range(4):
            call: Any = progress.admin.VerifyLedger(pb.VerifyLedgerRequest())
            assert (await call.read()).users_total == 3
            call.cancel()

            async def none_waits() -> bool:
                return await count(progress, WAITING) == 0

            await eventually(none_waits, "nothing of it is left in the database")
    await verified(progress)


async def test_a_reader_that_does_not_read_holds_nothing_in_the_database(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.settled()
    strays = 80_000
    await damage(progress, STRAY_TOTALS.format(strays))
    answers = aiter(progress.admin.VerifyLedger(pb.VerifyLedgerRequest()))
    first = await anext(answers)
    assert (first.users_total, first.users_checked) == (1, 0)

    async def compared() -> bool:
        return await count(progress, IN_TRANSACTION) == 0

    await eventually(compared, "the database has been read")
    seen = Counter[str](one.user_id for one in first.mismatches)
    last = first
    async for last in answers:
        assert len(last.mismatches) <= MESSAGE_SIZE
        seen.update(one.user_id for one in last.mismatches)
    assert len(seen) == strays
    assert max(seen.values()) == 1
    assert last.users_checked == last.users_total == 1


async def test_more_mismatches_than_are_kept_end_with_an_error_after_the_first(
    progress: Progress,
) -> None:
    await damage(progress, STRAY_TOTALS.format(2_500))
    told: list[Verified] = []

    async def write(step: Verified) -> None:
        told.append(step)

    verification = Verification(progress.app.database, asyncio.Event(), max_mismatches=2_000)
    with pytest.raises(FailedPrecondition) as caught:
        await verification.verify(write)
    assert caught.value.reason == "TOO_MANY_MISMATCHES"
    assert sum(len(one.mismatches) for one in told) == 2_000
    assert verification.running == 0


async def test_a_server_that_drains_ends_verifications(progress: Progress) -> None:
    await scene(progress)
    draining = asyncio.Event()

    async def write(step: Verified) -> None:
        draining.set()

    with pytest.raises(Unavailable) as caught:
        await Verification(progress.app.database, draining).verify(write)
    assert caught.value.reason == "DRAINING"
