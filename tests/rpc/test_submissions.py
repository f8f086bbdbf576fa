"""SubmitProgress: what is recorded, completed and paid."""

import asyncio

from shared.errors import Conflict
from shared.gen.laurel.progress.v1 import progress_pb2
from tests.progress import Progress, level, refused


async def test_a_level_pays_its_xp_once(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    first = await progress.submit("ann", "l1", request_id="a")
    again = await progress.submit("ann", "l1", request_id="b")
    assert (first.xp_earned, first.total_xp, first.status) == (
        50,
        50,
        progress_pb2.LEVEL_STATUS_COMPLETED,
    )
    assert (again.xp_earned, again.total_xp) == (0, 50)
    assert await progress.top() == [(1, "ann", 50)]


async def test_a_request_id_is_answered_again_and_refused_with_other_contents(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    first = await progress.submit("ann", "l1", 7, request_id="a")
    again = await progress.submit("ann", "l1", 7, request_id="a")
    assert again.replayed and not first.replayed
    again.replayed = False
    assert again.SerializeToString() == first.SerializeToString()
    async with refused(Conflict, "REQUEST_ID_REUSED"):
        await progress.submit("ann", "l1", 8, request_id="a")


async def test_eight_clients_submitting_one_level_200_times_are_paid_once(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))

    async def client(number: int) -> int:
        answers = [
            await progress.submit("ann", "l1", request_id=f"{number}-{n}") for n in range(25)
        ]
        return sum(answer.xp_earned for answer in answers)

    paid = await asyncio.gather(*(client(number) for number in range(8)))
    assert sum(paid) == 50
    attempts = await progress.progress.ListAttempts(
        progress_pb2.ListAttemptsRequest(user_id="ann", page_size=500)
    )
    assert len(attempts.attempts) == 200
    assert await progress.top() == [(1, "ann", 50)]
