"""Two layers: a request id is answered again as it was; what must be paid once stays paid once."""

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import pytest

from shared.errors import Conflict
from shared.gen.laurel.progress.v1 import catalog_pb2
from tests.progress import Progress, level, refused, submission


class Answer(Protocol):
    replayed: bool

    def SerializeToString(self) -> bytes: ...


A = TypeVar("A", bound=Answer)


def assert_replayed(first: A, again: A) -> None:
    """The same bytes, but for `replayed`."""
    assert (first.replayed, again.replayed) == (False, True)
    again.replayed = False
    assert again.SerializeToString() == first.SerializeToString()


async def prepared(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course(
        "c", level("l1"), level("l2"), mode=catalog_pb2.UNLOCK_MODE_SEQUENTIAL
    )


async def paid(progress: Progress, metric: str = "xp") -> str:
    """The newest positive entry of the metric in ann's ledger."""
    entries = await progress.entries("ann")
    return next(one.entry_id for one in entries if one.metric == metric and one.amount > 0)


@pytest.mark.parametrize(
    "meanwhile", ["edited", "dropped", "archived", "revoked", "voided", "more"]
)
async def test_a_submission_is_answered_again_byte_for_byte_whatever_came_after(
    progress: Progress, meanwhile: str
) -> None:
    await prepared(progress)
    await progress.award("ann", 7)
    request = submission("ann", "l1", 8, request_id="s1")
    first = await progress.progress.SubmitProgress(request)
    assert first.unlocked_level_ids == ["l2"]
    assert first.xp_earned == 50
    match meanwhile:
        case "edited":
            await progress.put_course("c", level("l1", xp_reward=9, max_marks=3, pass_ratio=1.0))
        case "dropped":
            await progress.put_course("c", level("l2"))
        case "archived":
            course = catalog_pb2.Course(
                course_id="c",
                title="c",
                unlock_mode=catalog_pb2.UNLOCK_MODE_OPEN,
                archived=True,
                sections=[catalog_pb2.Section(section_id="s", title="S", levels=[level("l1")])],
            )
            await progress.catalog.PutCourse(catalog_pb2.PutCourseRequest(course=course))
        case "revoked":
            for metric in ("xp", "marks"):
                await progress.revoke(await paid(progress, metric))
        case "voided":
            await progress.void(first.attempt_id)
        case "more":
            await progress.submit("ann", "l1", 10)
            await progress.submit("ann", "l2", 10)
    before = await progress.totals("ann")
    assert_replayed(first, await progress.progress.SubmitProgress(request))
    assert await progress.totals("ann") == before


async def test_an_award_is_answered_again_byte_for_byte_after_its_revocation(
    progress: Progress,
) -> None:
    await prepared(progress)
    given = {"reference": "week 1", "request_id": "a1", "course_id": "c"}
    first = await progress.award("ann", 7, **given)
    await progress.award("ann", 3)
    await progress.revoke(first.entry_id)
    assert_replayed(first, await progress.award("ann", 7, **given))
    assert await progress.totals("ann") == {"xp": 3}


async def test_an_attempt_repeated_months_later_under_a_new_id_pays_nothing(
    progress: Progress,
) -> None:
    await prepared(progress)
    then, later = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 9, 5, tzinfo=UTC)
    await progress.submit("ann", "l1", 8, occurred_time=then)
    again = await progress.submit("ann", "l1", 8, occurred_time=later)
    assert (again.xp_earned, again.total_xp, again.replayed) == (0, 50, False)
    assert len(await progress.entries("ann")) == 2
    assert await progress.totals("ann") == {"xp": 50, "marks": 80}


async def test_a_reference_is_paid_once_under_whatever_id_amount_or_time(
    progress: Progress,
) -> None:
    await prepared(progress)
    first = await progress.award("ann", 7, reference="week 1")
    for fields in ({}, {"occurred_time": datetime(2026, 1, 5, tzinfo=UTC)}, {"course_id": "c"}):
        again = await progress.award("ann", 9, reference="week 1", **fields)
        assert (again.entry_id, again.amount_credited, again.total) == (first.entry_id, 0, 7)
    await progress.revoke(first.entry_id)
    after = await progress.award("ann", 7, reference="week 1")
    assert (after.entry_id, after.amount_credited, after.total) == (first.entry_id, 0, 0)
    for fields in ({"source": "quiz"}, {"metric": "pomodoros"}, {"reference": "week 2"}):
        given = {"reference": "week 1", **fields}
        assert (await progress.award("ann", 7, **given)).amount_credited == 7


async def test_a_request_id_serves_one_kind_of_call_of_a_user_only(progress: Progress) -> None:
    await prepared(progress)
    submitted = await progress.submit("ann", "l1", request_id="submission")
    awarded = await progress.award("ann", 7, request_id="award")
    entry_id = (await progress.award("ann", 1)).entry_id
    other = await progress.submit("ann", "l1", 3)
    await progress.void(other.attempt_id, request_id="void")
    await progress.revoke(entry_id, request_id="revocation")
    before = await progress.totals("ann")
    for used in ("submission", "award", "void", "revocation"):
        calls: list[Awaitable[object]] = [
            progress.submit("ann", "l2", request_id=used),
            progress.award("ann", 5, request_id=used),
            progress.void(submitted.attempt_id, request_id=used),
            progress.revoke(awarded.entry_id, request_id=used),
        ]
        for call in calls:
            async with refused(Conflict, "REQUEST_ID_REUSED") as caught:
                await call
            assert caught[0].metadata == {"request_id": used}
    assert await progress.totals("ann") == before
    assert (await progress.submit("bob", "l1", request_id="award")).xp_earned == 50
