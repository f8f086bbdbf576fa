"""BackfillTotals beside writers, the sequencer, other backfills, and those who hold users."""

import asyncio
import random
import time
from typing import Any

import pytest

from progress_service.backfill import Backfill, BackfillRequest
from progress_service.backfill import Backfilled as Done
from progress_service.credit_log import CreditLog
from shared.errors import ResourceExhausted, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.identity import NOBODY
from tests.audit import (
    DAMAGE,
    UPDATES,
    XP,
    backfill,
    damage,
    misfolded,
    scene,
    summed,
    verified,
)
from tests.progress import Progress, eventually, held, level, refused


async def test_what_is_not_numbered_yet_counts_on_top_of_a_correction(progress: Progress) -> None:
    await scene(progress)
    async with progress.numbering_held():
        await damage(progress, *misfolded("ann", XP, 80, 7))
        await progress.award("ann", 1_000)
        request = pb.BackfillTotalsRequest()
        backfilling = asyncio.create_task(_all(progress, request))

        async def queued() -> bool:
            async with progress.sql() as sql:
                return bool(
                    await sql.fetchval("SELECT count(*) FROM unnumbered_changes WHERE kind = 6")
                )

        await eventually(queued, "the correction waits for its number")
        # Another backfill leaves it to that one.
        assert (await backfill(progress)).counts.standings_corrected == 0
        await progress.award("ann", 500)
    assert summed(await backfilling).counts.standings_corrected == 1
    await verified(progress)
    assert (await progress.top())[0] == (1, "ann", 1_580)


async def _all(
    progress: Progress, request: pb.BackfillTotalsRequest
) -> list[pb.BackfillTotalsResponse]:
    return [one async for one in progress.admin.BackfillTotals(request)]


async def test_users_whom_others_hold_are_mended_when_they_come_free(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, *DAMAGE)
    answers: list[pb.BackfillTotalsResponse] = []
    async with held(progress, "ann"):
        call = aiter(progress.admin.BackfillTotals(pb.BackfillTotalsRequest()))
        while not answers or answers[-1].users_checked < 2:
            answers.append(await anext(call))
        # bob and cyd are mended meanwhile, and others may write.
        await progress.award("bob", 1)
    answers += [one async for one in call]
    done = summed(answers)
    assert sorted(done.updates) == UPDATES
    assert done.counts.users_checked == 3
    await verified(progress)


async def test_users_whom_others_hold_without_end_are_left(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, *DAMAGE)
    app = progress.app
    told: list[Done] = []
    impatient = Backfill(
        app.database,
        app.publisher,
        CreditLog(app.settings),
        app.sequencer.wake,
        app.settings.zone,
        give_up_s=0,
    )

    async def write(done: Done) -> None:
        told.append(done)

    async with held(progress, "ann"):
        with pytest.raises(Unavailable) as caught:
            await impatient.run(BackfillRequest(False, False, NOBODY), write)
    assert (caught.value.reason, caught.value.metadata) == (
        "USERS_BUSY",
        {"user_id": "ann", "users": "1"},
    )
    assert (told[-1].users_checked, impatient.running) == (2, 0)
    assert (await backfill(progress)).updates == UPDATES[:2]
    await verified(progress)


async def test_two_backfills_at_once_mend_each_figure_once(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, *DAMAGE)
    both = await asyncio.gather(backfill(progress), backfill(progress))
    assert sorted([*both[0].updates, *both[1].updates]) == UPDATES
    assert sum(one.counts.standings_corrected for one in both) == 2
    await verified(progress)


async def test_a_board_about_to_be_reset_is_mended_afterwards(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, DAMAGE[0], *misfolded("ann", XP, 80, 15))
    reset = pb.ResetWindowRequest(
        board=types_pb2.Board(window=types_pb2.WINDOW_ALL_TIME), request_id="reset"
    )
    answers: list[pb.BackfillTotalsResponse] = []
    async with progress.numbering_held():
        resetting = asyncio.ensure_future(progress.admin.ResetWindow(reset))

        async def queued() -> bool:
            async with progress.sql() as sql:
                return bool(
                    await sql.fetchval("SELECT count(*) FROM unnumbered_changes WHERE kind = 4")
                )

        await eventually(queued, "the reset waits for its number")
        call = aiter(progress.admin.BackfillTotals(pb.BackfillTotalsRequest()))
        while not answers or answers[-1].users_checked < 2:
            answers.append(await anext(call))
    answers += [one async for one in call]
    await resetting
    done = summed(answers)
    assert done.updates == [UPDATES[1]]
    assert done.counts.standings_corrected == 0
    await verified(progress)
    assert await progress.top() == []


async def test_a_backfill_that_is_cut_goes_on_when_it_is_run_again(progress: Progress) -> None:
    await progress.put_users(*[f"u{n:03}" for n in range(300)])
    await damage(progress, "INSERT INTO user_totals SELECT user_id, 'xp', 1 FROM users")
    call: Any = progress.admin.BackfillTotals(pb.BackfillTotalsRequest())
    answer = await call.read()
    while not answer.updates:
        answer = await call.read()
    call.cancel()
    assert answer.users_updated < 300
    done = await backfill(progress)
    assert done.counts.users_checked == 300
    assert {one[2:] for one in done.updates} <= {(1, 0)}
    await verified(progress)


async def test_writers_at_work_are_mended_wrongly_nowhere(progress: Progress) -> None:
    users = [f"u{n}" for n in range(12)]
    await progress.put_users(*users)
    await progress.put_course("c", *[level(f"l{n}") for n in range(6)])
    until = time.monotonic() + 4
    sums = dict.fromkeys(users, 0)

    async def write(number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < until:
            user_id, amount = chance.choice(users), chance.randint(1, 9)
            answer = await progress.award(user_id, amount)
            sums[user_id] += amount
            if chance.random() < 0.2:
                await progress.revoke(answer.entry_id)
                sums[user_id] -= amount
            await progress.submit(user_id, f"l{chance.randrange(6)}", chance.randrange(5))

    async def harm() -> None:
        chance = random.Random(-1)
        while time.monotonic() < until:
            user_id = chance.choice(users)
            await damage(
                progress,
                f"""WITH held AS (SELECT FROM users WHERE user_id = '{user_id}' FOR UPDATE)
                    UPDATE user_totals SET total = total + 1
                    WHERE user_id = '{user_id}' AND metric = 'xp' AND EXISTS (SELECT FROM held)""",
                f"UPDATE standings SET score = score + 3 WHERE user_id = '{user_id}' AND {XP}",
            )
            await asyncio.sleep(0.05)

    corrected = 0
    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(write(number))
        tasks.create_task(harm())
        while time.monotonic() < until:
            corrected += (await backfill(progress)).counts.standings_corrected
    assert corrected
    await backfill(progress)
    await verified(progress)
    assert {user_id: score for _, user_id, score in await progress.top()} == {
        user_id: score for user_id, score in sums.items() if score
    }


async def test_beyond_four_backfills_at_once_callers_are_told_when_to_retry(
    progress: Progress,
) -> None:
    await scene(progress)
    request = pb.BackfillTotalsRequest(dry_run=True)
    async with progress.sql() as sql:
        async with sql.transaction():
            await sql.execute("LOCK TABLE user_totals IN ACCESS EXCLUSIVE MODE")
            calls = {asyncio.create_task(_all(progress, request)) for _ in range(5)}
            ended, under_way = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for one in ended:
            async with refused(ResourceExhausted, "TOO_MANY_BACKFILLS") as errors:
                await one
            assert errors[0].retry_delay_s
        assert len(under_way) == 4
        for one in under_way:
            assert summed(await one).counts.users_total == 3
