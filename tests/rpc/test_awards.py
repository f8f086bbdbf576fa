"""AwardXp: credits from any other source, each reference once ever."""

import asyncio
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from progress_service.domain.bounds import MAX_SCORE
from shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, award, level, refused


async def test_an_award_credits_its_metric_and_xp_when_none_is_named(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    first = await progress.award("ann", 7)
    other = await progress.award("ann", 3, metric="pomodoros", course_id="c", reference="p 1")
    again = await progress.award("ann", 5, metric="xp")
    assert [(one.amount_credited, one.total) for one in (first, other, again)] == [
        (7, 7),
        (3, 3),
        (5, 12),
    ]
    newest = await progress.entries("ann")
    assert [(one.entry_id, one.metric, one.amount, one.source) for one in newest] == [
        (again.entry_id, "xp", 5, "test"),
        (other.entry_id, "pomodoros", 3, "test"),
        (first.entry_id, "xp", 7, "test"),
    ]
    assert (newest[1].course_id, newest[1].level_id, newest[1].reference) == ("c", "", "p 1")
    assert await progress.top() == [(1, "ann", 12)]
    assert await progress.top(course_id="c") == []
    assert await progress.top(metric="pomodoros", course_id="c") == [(1, "ann", 3)]


async def test_a_request_id_is_answered_again_and_refused_with_other_contents(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"))
    same = {"request_id": "a", "reference": "week 1"}
    first = await progress.award("ann", 7, **same)
    await progress.award("ann", 1)
    again = await progress.award("ann", 7, **same)
    assert (first.replayed, again.replayed) == (False, True)
    again.replayed = False
    assert again == first
    assert await progress.award("ann", 7, metric="xp", **same) != again
    for other in (
        {"amount": 8},
        {"metric": "marks"},
        {"source": "other"},
        {"reference": "week 2"},
        {"course_id": "c"},
        {"occurred_time": Timestamp(seconds=1_700_000_000)},
    ):
        async with refused(Conflict, "REQUEST_ID_REUSED"):
            await progress.award(**{"user_id": "ann", "amount": 7} | same | other)  # type: ignore[arg-type]
    async with refused(Conflict, "REQUEST_ID_REUSED"):
        await progress.submit("ann", "l1", request_id="a")
    await progress.award("bob", 9, request_id="a")
    assert await progress.totals("ann") == {"xp": 8}


async def test_a_reference_is_credited_once_ever_under_whatever_request_id(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    first = await progress.award("ann", 7, reference="week 1")
    later = await progress.award("ann", 9, reference="week 1", request_id="b")
    assert (later.amount_credited, later.total, later.replayed) == (0, 7, False)
    assert later.entry_id == first.entry_id
    assert (await progress.award("ann", 9, reference="week 1", request_id="b")).replayed
    # Another user, metric, source or reference is another credit.
    await progress.award("bob", 1, reference="week 1")
    await progress.award("ann", 2, reference="week 1", metric="pomodoros")
    await progress.award("ann", 3, reference="week 1", source="other")
    await progress.award("ann", 4, reference="week 2")
    await progress.award("ann", 5)
    await progress.award("ann", 5)
    assert await progress.totals("ann") == {"xp": 24, "pomodoros": 2}
    assert await progress.top() == [(1, "ann", 24), (2, "bob", 1)]


async def test_a_reference_that_arrives_from_many_at_once_is_credited_once(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    answers = await asyncio.gather(
        *(progress.award("ann", 7, reference="week 1") for _ in range(30))
    )
    assert sum(answer.amount_credited for answer in answers) == 7
    assert {answer.total for answer in answers} == {7}
    assert len({answer.entry_id for answer in answers}) == 1


async def test_a_revoked_reference_stays_used(progress: Progress) -> None:
    await progress.put_users("ann")
    first = await progress.award("ann", 7, reference="week 1")
    await progress.revoke(first.entry_id)
    assert (await progress.award("ann", 7, reference="week 1")).amount_credited == 0
    assert await progress.totals("ann") == {"xp": 0}


async def test_what_is_awarded_by_hand_is_an_administrative_act_once(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    request = award("ann", 7, source="admin", reference="prize")
    eve = (("x-laurel-actor", "tutor:eve"),)
    given = await progress.progress.AwardXp(request, metadata=eve)
    await progress.progress.AwardXp(request, metadata=eve)
    await progress.award("ann", 9, source="admin", reference="prize")
    await progress.award("ann", 1, source="challenge")
    detail = f"entry {given.entry_id}, +7 xp: prize"
    assert await progress.acts("ann") == [("AwardXp", "tutor:eve", detail)]
    # In one group with others, each gets its own.
    await asyncio.gather(
        *(progress.award(one, n, source="admin") for n in (1, 2) for one in ("ann", "bob")),
        *(progress.award("bob", n) for n in (3, 4)),
    )
    assert len(await progress.acts("bob")) == 2
    assert len(await progress.acts()) == 5


async def test_what_is_not_in_the_catalog_is_not_found(progress: Progress) -> None:
    await progress.put_users("ann")
    for wrong, reason in (
        ({"user_id": "nobody"}, "USER_NOT_FOUND"),
        ({"metric": "nothing"}, "METRIC_NOT_FOUND"),
        ({"course_id": "nowhere"}, "COURSE_NOT_FOUND"),
    ):
        async with refused(NotFound, reason) as caught:
            await progress.award(**{"user_id": "ann", "amount": 1} | wrong)  # type: ignore[arg-type]
        assert list(caught[0].metadata.values()) == list(wrong.values())
    assert await progress.entries("ann") == []


async def violations(progress: Progress, request: pb.AwardXpRequest) -> list[str]:
    async with refused(InvalidInput, "INVALID_FIELD") as caught:
        await progress.progress.AwardXp(request)
    return [violation.field for violation in caught[0].violations]


async def test_invalid_awards_name_their_fields_and_credit_nothing(progress: Progress) -> None:
    await progress.put_users("ann")
    ahead = datetime.now(UTC) + timedelta(minutes=6)
    for wrong, field in (
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": MAX_SCORE + 1}, "amount"),
        ({"amount": 2**63 - 1}, "amount"),
        ({"source": ""}, "source"),
        ({"source": "level"}, "source"),
        ({"source": "a b"}, "source"),
        ({"metric": "a/b"}, "metric"),
        ({"course_id": "a b"}, "course_id"),
        ({"user_id": ""}, "user_id"),
        ({"request_id": ""}, "request_id"),
        ({"reference": "x" * 129}, "reference"),
        ({"reference": "a\x00b"}, "reference"),
        ({"occurred_time": ahead}, "occurred_time"),
        ({"occurred_time": Timestamp(seconds=1)}, "occurred_time"),
    ):
        request = award(**{"user_id": "ann", "amount": 1} | wrong)  # type: ignore[arg-type]
        assert await violations(progress, request) == [field], wrong
    assert await progress.entries("ann") == []


async def test_a_total_may_reach_the_largest_and_not_pass_it(progress: Progress) -> None:
    await progress.put_users("ann")
    assert (await progress.award("ann", MAX_SCORE)).total == MAX_SCORE
    async with refused(FailedPrecondition, "TOTAL_TOO_LARGE") as caught:
        await progress.award("ann", 1, reference="r", request_id="a")
    assert caught[0].metadata == {"metric": "xp", "total": str(MAX_SCORE)}
    assert (await progress.award("ann", 1, metric="pomodoros")).total == 1
    assert await progress.top() == [(1, "ann", MAX_SCORE)]
    # What was refused has used up neither its reference nor its request id.
    await progress.revoke((await progress.entries("ann"))[1].entry_id)
    assert (await progress.award("ann", 1, reference="r", request_id="a")).total == 1


async def test_an_award_counts_in_the_windows_of_the_time_when_it_was_earned(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    earned = datetime(2014, 12, 30, 23, 59, 59, tzinfo=UTC)
    await progress.award("ann", 7, occurred_time=earned)
    (entry,) = await progress.entries("ann")
    assert entry.occurred_time.ToDatetime(UTC) == earned
    for window, period in (
        (types_pb2.WINDOW_YEAR, "2014"),
        (types_pb2.WINDOW_MONTH, "2014-12"),
        (types_pb2.WINDOW_WEEK, "2015-W01"),
        (types_pb2.WINDOW_DAY, "2014-12-30"),
    ):
        assert await progress.top(window=window, period=period) == [(1, "ann", 7)]
    assert await progress.top(window=types_pb2.WINDOW_YEAR) == []


async def test_texts_with_every_special_character_are_kept_as_they_are(progress: Progress) -> None:
    await progress.put_users("ann")
    odd = ["NULL", '"', "\\", "{}", "a,b", "'; --", '\\"', "%s:x", "é", "李　明", "👩‍🔬", "$1"]
    for n, text in enumerate(odd):
        await progress.award("ann", n + 1, reference=text)
    for n, text in enumerate(odd):
        ids = "".join(one for one in text if "!" <= one <= "~") + f"-{n}"
        answer = await progress.award("ann", 99, reference=text, request_id=ids)
        assert (answer.amount_credited, answer.replayed) == (0, False)
        assert (await progress.award("ann", 99, reference=text, request_id=ids)).replayed
    assert [one.reference for one in reversed(await progress.entries("ann"))] == odd
