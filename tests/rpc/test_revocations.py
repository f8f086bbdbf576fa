"""RevokeXp: an entry is cancelled by another entry, once, where it counted."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime

from grpc import aio

from shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_rpc
from tests.access import TESTS
from tests.progress import Progress, level, refused


async def test_a_revocation_cancels_in_total_and_boards_and_keeps_the_entry(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    kept = await progress.award("ann", 5)
    wrong = await progress.award("ann", 7, reference="week 1")
    await progress.award("bob", 6)
    answer = await progress.revoke(wrong.entry_id, reason="entered twice")
    assert answer.total == 5
    assert await progress.top() == [(1, "bob", 6), (2, "ann", 5)]
    newest = (await progress.entries("ann"))[0]
    assert (newest.entry_id, newest.amount, newest.metric) == (answer.entry_id, -7, "xp")
    assert (newest.revokes_entry_id, newest.reason) == (wrong.entry_id, "entered twice")
    assert (newest.source, newest.reference) == ("test", "week 1")
    entries = {one.entry_id: one for one in await progress.entries("ann")}
    amounts = {one: entry.amount for one, entry in entries.items()}
    assert amounts == {kept.entry_id: 5, wrong.entry_id: 7, answer.entry_id: -7}
    cancelled_by = {one: entry.revoked_by_entry_id for one, entry in entries.items()}
    assert cancelled_by == {kept.entry_id: "", wrong.entry_id: answer.entry_id, answer.entry_id: ""}


async def test_a_revocation_counts_in_the_windows_and_the_course_of_what_it_cancels(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    earned = datetime(2014, 12, 30, tzinfo=UTC)
    old = await progress.award("ann", 7, occurred_time=earned, course_id="c")
    new = await progress.award("ann", 2)
    await progress.revoke(old.entry_id)
    for course_id in ("", "c"):
        for window, period in (
            (types_pb2.WINDOW_YEAR, "2014"),
            (types_pb2.WINDOW_WEEK, "2015-W01"),
            (types_pb2.WINDOW_DAY, "2014-12-30"),
        ):
            assert await progress.top(course_id=course_id, window=window, period=period) == []
    assert await progress.top(window=types_pb2.WINDOW_YEAR) == [(1, "ann", 2)]
    assert await progress.top() == [(1, "ann", 2)]
    by_id = {one.entry_id: one for one in await progress.entries("ann")}
    assert new.entry_id in by_id
    cancelled = next(one for one in by_id.values() if one.amount == -7)
    assert cancelled.occurred_time == by_id[old.entry_id].occurred_time


async def test_a_revocation_counts_where_the_metric_was_kept_when_the_entry_was_written(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    entry = await progress.award("ann", 3, metric="pomodoros")
    windows = [types_pb2.WINDOW_ALL_TIME]
    metric = catalog.Metric(metric="pomodoros", windows=windows)
    await progress.catalog.PutMetric(catalog.PutMetricRequest(metric=metric))
    await progress.revoke(entry.entry_id)
    for window in (types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_YEAR, types_pb2.WINDOW_DAY):
        assert await progress.top(metric="pomodoros", window=window) == []


async def test_what_a_level_paid_can_be_revoked_and_is_not_paid_again(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    await progress.submit("ann", "l1")
    paid = next(one for one in await progress.entries("ann") if one.metric == "xp")
    assert (await progress.revoke(paid.entry_id)).total == 0
    assert (await progress.submit("ann", "l1")).xp_earned == 0
    assert await progress.totals("ann") == {"xp": 0, "marks": 100}
    assert await progress.top(course_id="c") == []
    (found,) = (await progress.course_progress("ann", "c")).levels
    assert (found.status, found.xp_earned) == (pb.LEVEL_STATUS_COMPLETED, 0)


async def test_a_revocation_is_an_administrative_act_with_its_actor_once(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    entry = await progress.award("ann", 7)
    request = pb.RevokeXpRequest(entry_id=entry.entry_id, reason="twice", request_id="r")
    for _ in range(2):
        await progress.progress.RevokeXp(request, metadata=(("x-laurel-actor", "tutor:eve"),))
    async with refused(FailedPrecondition, "ENTRY_ALREADY_REVOKED"):
        await progress.revoke(entry.entry_id)
    cancelling, earned = await progress.entries("ann")
    assert (cancelling.actor, cancelling.reason, earned.actor) == ("tutor:eve", "twice", TESTS)
    detail = f"entry {entry.entry_id}, -7 xp: twice"
    assert await progress.acts("ann") == [("RevokeXp", "tutor:eve", detail)]


async def test_a_request_id_is_answered_again_and_refused_with_other_contents(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    first = await progress.award("ann", 5, request_id="award")
    other = await progress.award("ann", 7)
    answer = await progress.revoke(first.entry_id, request_id="a", reason="why")
    assert await progress.revoke(first.entry_id, request_id="a", reason="why") == answer
    async with refused(Conflict, "REQUEST_ID_REUSED"):
        await progress.revoke(other.entry_id, request_id="a", reason="why")
    async with refused(Conflict, "REQUEST_ID_REUSED"):
        await progress.revoke(first.entry_id, request_id="a", reason="because")
    async with refused(Conflict, "REQUEST_ID_REUSED"):
        await progress.revoke(other.entry_id, request_id="award")
    assert await progress.totals("ann") == {"xp": 7}


async def test_an_entry_is_cancelled_at_most_once_and_a_revocation_not_at_all(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    entry = await progress.award("ann", 5)
    revoked = await progress.revoke(entry.entry_id)
    async with refused(FailedPrecondition, "ENTRY_ALREADY_REVOKED") as caught:
        await progress.revoke(entry.entry_id)
    assert caught[0].metadata == {
        "entry_id": entry.entry_id,
        "revoked_by_entry_id": revoked.entry_id,
    }
    async with refused(FailedPrecondition, "ENTRY_IS_REVOCATION"):
        await progress.revoke(revoked.entry_id)
    assert await progress.totals("ann") == {"xp": 0}


async def test_of_many_revocations_at_once_one_counts(progress: Progress) -> None:
    await progress.put_users("ann")
    entry = await progress.award("ann", 5)
    await progress.award("ann", 100)

    async def outcome(call: Awaitable[object]) -> str:
        try:
            await call
        except aio.AioRpcError as error:
            return error_from_rpc(error).reason
        return "revoked"

    outcomes = await asyncio.gather(
        *(outcome(progress.revoke(entry.entry_id, request_id=f"r{n}")) for n in range(12))
    )
    assert sorted(outcomes) == ["ENTRY_ALREADY_REVOKED"] * 11 + ["revoked"]
    assert await progress.totals("ann") == {"xp": 100}


async def test_what_is_no_entry_is_not_found_or_refused(progress: Progress) -> None:
    await progress.put_users("ann")
    entry = await progress.award("ann", 5)
    for number in ("0", "999999", "999999999999999999"):
        async with refused(NotFound, "ENTRY_NOT_FOUND") as caught:
            await progress.revoke(number)
        assert caught[0].metadata == {"entry_id": number}
    wrong: list[tuple[dict[str, str], str]] = [
        ({"entry_id": ""}, "entry_id"),
        ({"entry_id": "one"}, "entry_id"),
        ({"entry_id": "-1"}, "entry_id"),
        ({"entry_id": "1" * 19}, "entry_id"),
        ({"entry_id": "²"}, "entry_id"),
        ({"reason": "x" * 501}, "reason"),
        ({"request_id": "a b"}, "request_id"),
    ]
    for changed, field in wrong:
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await progress.revoke(**{"entry_id": entry.entry_id} | changed)
        assert [violation.field for violation in errors[0].violations] == [field], changed
    assert await progress.totals("ann") == {"xp": 5}
