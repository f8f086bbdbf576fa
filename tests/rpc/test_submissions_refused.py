"""SubmitProgress: what is refused, how the refusal says why, and that it leaves no trace."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from shared.errors import InvalidInput, LaurelError, NotFound
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.status import error_from_rpc
from tests.progress import Progress, held, level, refused, submission, waits_for_lock

GOOD: dict[str, Any] = {"user_id": "ann", "level_id": "l1", "correct": 5, "total": 10}

# What is sent otherwise than in GOOD, the reason, and the fields that are named.
INVALID: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"correct": None}, "INVALID_SCORE", ["correct_answers"]),
    ({"correct": -1}, "INVALID_SCORE", ["correct_answers"]),
    ({"correct": 11}, "INVALID_SCORE", ["correct_answers"]),
    ({"correct": 0, "total": 0}, "INVALID_SCORE", ["total_questions"]),
    ({"correct": 0, "total": -10}, "INVALID_SCORE", ["total_questions"]),
    ({"total": 9}, "INVALID_SCORE", ["total_questions"]),
    ({"total": 2**31 - 1}, "INVALID_SCORE", ["total_questions"]),
    ({"time_spent": Duration(seconds=-1)}, "INVALID_FIELD", ["time_spent"]),
    ({"time_spent": Duration(nanos=-1)}, "INVALID_FIELD", ["time_spent"]),
    ({"time_spent": Duration(seconds=366 * 86_400 + 1)}, "INVALID_FIELD", ["time_spent"]),
    ({"time_spent": Duration(seconds=2**60)}, "INVALID_FIELD", ["time_spent"]),
    ({"occurred_time": Timestamp(seconds=946_684_799)}, "INVALID_FIELD", ["occurred_time"]),
    ({"occurred_time": Timestamp(seconds=2**60)}, "INVALID_FIELD", ["occurred_time"]),
    ({"occurred_time": Timestamp(seconds=-(2**60))}, "INVALID_FIELD", ["occurred_time"]),
    ({"user_id": ""}, "INVALID_FIELD", ["user_id"]),
    ({"user_id": "a b"}, "INVALID_FIELD", ["user_id"]),
    ({"user_id": "é"}, "INVALID_FIELD", ["user_id"]),
    ({"user_id": "a\x00"}, "INVALID_FIELD", ["user_id"]),
    ({"user_id": "x" * 65}, "INVALID_FIELD", ["user_id"]),
    ({"level_id": ""}, "INVALID_FIELD", ["level_id"]),
    ({"level_id": "l1\n"}, "INVALID_FIELD", ["level_id"]),
    ({"level_id": "l/1"}, "INVALID_FIELD", ["level_id"]),
    ({"request_id": ""}, "INVALID_FIELD", ["request_id"]),
    ({"request_id": "a b"}, "INVALID_FIELD", ["request_id"]),
    ({"request_id": "x" * 129}, "INVALID_FIELD", ["request_id"]),
    (
        {"user_id": "", "correct": None, "request_id": ""},
        "INVALID_FIELD",
        ["user_id", "request_id", "correct_answers"],
    ),
]


def request_of(changed: dict[str, Any]) -> pb.SubmitProgressRequest:
    fields = GOOD | changed
    request = submission(**{key: fields[key] for key in fields if key != "request_id"})
    if "request_id" in fields:
        request.request_id = fields["request_id"]
    return request


async def refusal(
    progress: Progress, request: pb.SubmitProgressRequest, kind: type[LaurelError], reason: str
) -> LaurelError:
    async with refused(kind, reason) as caught:
        await progress.progress.SubmitProgress(request)
    return caught[0]


async def stored_rows(progress: Progress) -> dict[str, int]:
    """How many rows each table holds in which a submission leaves its traces."""
    async with progress.sql() as sql:
        return {
            table: await sql.fetchval(f"SELECT count(*) FROM {table}")
            for table in (
                "attempts",
                "request_keys",
                "level_progress",
                "course_progress",
                "level_rewards",
                "xp_entries",
                "user_totals",
            )
        } | {
            "xp changes": await sql.fetchval(
                "SELECT (SELECT count(*) FROM unnumbered_changes WHERE kind = 1)"
                " + (SELECT count(*) FROM changes WHERE kind = 1)"
            ),
            "active users": await sql.fetchval(
                "SELECT count(*) FROM users WHERE active_days <> '{}'"
            ),
        }


async def test_invalid_input_names_its_fields_and_records_nothing(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1", question_count=10))
    for changed, reason, fields in INVALID:
        error = await refusal(progress, request_of(changed), InvalidInput, reason)
        named = [violation.field for violation in error.violations]
        assert named == fields, changed
        assert all(violation.description for violation in error.violations)
    assert {*(await stored_rows(progress)).values()} == {0}


async def test_a_clock_may_run_five_minutes_ahead_and_no_further(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    now = datetime.now(UTC)
    ahead = request_of({"occurred_time": now + timedelta(minutes=4, seconds=50)})
    await progress.progress.SubmitProgress(ahead)
    beyond = request_of({"occurred_time": now + timedelta(minutes=6)})
    error = await refusal(progress, beyond, InvalidInput, "INVALID_FIELD")
    assert [violation.field for violation in error.violations] == ["occurred_time"]


async def test_the_bounds_themselves_are_taken(progress: Progress) -> None:
    longest = "x" * 64
    await progress.put_users(longest)
    await progress.put_course("c", level(longest))
    answer = await progress.submit(
        longest,
        longest,
        0,
        2**31 - 1,
        "~" * 128,
        time_spent=Duration(seconds=366 * 86_400),
        occurred_time=Timestamp(seconds=946_684_800),
    )
    assert answer.status == pb.LEVEL_STATUS_IN_PROGRESS
    assert answer.total_questions == 2**31 - 1


async def test_who_or_what_is_not_there_is_not_found(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("c", level("l1"))
    for changed, reason, metadata in (
        ({"user_id": "nobody"}, "USER_NOT_FOUND", {"user_id": "nobody"}),
        ({"level_id": "nothing"}, "LEVEL_NOT_FOUND", {"level_id": "nothing"}),
        ({"level_id": "l2"}, "LEVEL_NOT_FOUND", {"level_id": "l2"}),
        ({"user_id": "ANN"}, "USER_NOT_FOUND", {"user_id": "ANN"}),
    ):
        error = await refusal(progress, request_of(changed), NotFound, reason)
        assert error.metadata == metadata
    assert {*(await stored_rows(progress)).values()} == {0}


async def test_a_refused_request_id_may_be_used_again(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    wrong = request_of({"correct": 11, "request_id": "a"})
    await refusal(progress, wrong, InvalidInput, "INVALID_SCORE")
    assert not (await progress.submit("ann", "l1", 10, request_id="a")).replayed


async def test_a_refused_submission_does_not_harm_those_committed_with_it(
    progress: Progress,
) -> None:
    users = [f"u{n}" for n in range(40)]
    await progress.put_users(*users)
    await progress.put_course("c", level("l1"))

    async def one(n: int) -> str:
        level_id, correct = [("l1", 10), ("nothing", 10), ("l1", 11)][n % 3]
        try:
            return pb.LevelStatus.Name((await progress.submit(users[n], level_id, correct)).status)
        except aio.AioRpcError as error:
            return error_from_rpc(error).reason

    async with held(progress, "u0"):
        # While one user's row is held, the others gather behind it in one group.
        first = asyncio.create_task(one(0))
        await waits_for_lock(progress)
        rest = [asyncio.create_task(one(n)) for n in range(1, 40)]
    outcomes = [await call for call in (first, *rest)]
    expected = ["LEVEL_STATUS_COMPLETED", "LEVEL_NOT_FOUND", "INVALID_SCORE"]
    assert outcomes == [expected[n % 3] for n in range(40)]
    assert (await stored_rows(progress))["attempts"] == 14
