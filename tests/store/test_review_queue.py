"""The queue of reviews: what it costs, by PostgreSQL's own plans, and what must hold of it."""

import asyncpg
import pytest

from progress_service.store import review_queue
from tests.plans import scans
from tests.progress import Progress
from tests.review_scene import prepared, quick


async def test_the_queue_is_read_without_the_attempts_that_are_not_in_it(
    progress: Progress,
) -> None:
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO attempts (attempt_id, user_id, course_id, level_id, request_id,
                   correct_answers, total_questions, marks, time_spent_ms, without_xp,
                   occurred_time, under_review)
               SELECT n, 'u' || n / 10 % 50, 'c', 'l1', 'r', 1, 1, 0, 0, false, now(), n % 10 = 0
               FROM generate_series(1, 20000) n"""
        )
        await sql.execute("VACUUM ANALYZE attempts")
    page = {"after": 10_000, "limit": 51}
    for filters, index, rows in (
        ({}, "attempts_under_review", 51),
        ({"course_id": "c", "level_id": "l1"}, "attempts_under_review", 51),
        # Of the 400 that are his, of which 40 wait, those that follow.
        ({"user_id": "u1"}, "attempts_under_review_user", 20),
    ):
        statement = review_queue.listing(filters)
        (read,) = await scans(progress.app.database, statement, {**page, **filters})
        assert (read.index, read.rows) == (index, rows)
    params = {"ids": ["u1", "u2"], "most": 20}
    (read,) = await scans(progress.app.database, review_queue.FULL, params)
    assert (read.index, read.rows) == ("attempts_under_review_user", 40)


async def test_no_attempt_is_under_review_and_withdrawn(progress: Progress) -> None:
    await prepared(progress)
    await quick(progress)
    async with progress.sql() as sql:
        with pytest.raises(asyncpg.CheckViolationError, match="attempts_one_fate"):
            await sql.execute("UPDATE attempts SET voided = true")
        await sql.execute("UPDATE attempts SET voided = true, under_review = false")
