"""What an edit of a course costs those who go on using it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import event

from shared.errors import NotFound
from shared.gen.laurel.progress.v1 import catalog_pb2
from tests.progress import Progress, level, refused

SEQUENTIAL = catalog_pb2.UNLOCK_MODE_SEQUENTIAL


@contextmanager
def definitions_read(progress: Progress) -> Iterator[list[str]]:
    """The statements of the block that read whole definitions."""
    seen: list[str] = []

    def note(*args: object) -> None:
        statement = str(args[2])
        if "v.definition::text" in statement:
            seen.append(statement)

    engine = progress.app.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_a_level_that_an_edit_dropped_costs_no_definition(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.submit("ann", "l1")
    await progress.put_course("c", level("l1"))
    async with refused(NotFound, "LEVEL_NOT_FOUND"):
        await progress.submit("ann", "l2")
    with definitions_read(progress) as seen:
        for _ in range(3):
            async with refused(NotFound, "LEVEL_NOT_FOUND"):
                await progress.submit("ann", "l2")
        await progress.submit("ann", "l1")
    assert seen == []
    await progress.put_course("c", level("l1"), level("l2"))
    with definitions_read(progress) as seen:
        assert (await progress.submit("ann", "l2")).xp_earned == 50
    # This process has stored it.
    assert seen == []


async def test_an_edit_counts_every_page_of_its_learners(progress: Progress) -> None:
    levels = [level(f"l{n}") for n in range(30)]
    await progress.put_course("c", *levels, mode=SEQUENTIAL)
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO course_progress
               SELECT 'u' || n, 'c', 1, n % 3, 0, now() FROM generate_series(1, 1234) n"""
        )
        await sql.execute(
            """INSERT INTO level_progress
               SELECT 'u' || n, 'c', 'l' || k, 100, 1, 0, now(), 50
               FROM generate_series(1, 1234) n, generate_series(0, n % 3 - 1) k"""
        )
    edit = await progress.put_course("c", levels[1], levels[0], mode=SEQUENTIAL)
    assert edit.users_affected == 1234
    # 411 have completed nothing: l0 closes and l1 opens for them. For the 412 with l0 alone
    # l1 is open before and after; the other 411 have both.
    assert (edit.users_newly_locked, edit.users_newly_unlocked) == (411, 411)
    same = await progress.put_course("c", levels[1], levels[0], mode=SEQUENTIAL)
    assert (same.course.version, same.users_affected) == (2, 1234)


async def test_a_log_that_cannot_be_written_fails_no_answer(
    progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failures() -> float:
        return REGISTRY.get_sample_value("laurel_credit_log_failures_total") or 0

    await progress.put_users("ann")
    before = failures()
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        TextIOWrapper(full) as log,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stderr", log)
        assert (await progress.award("ann", 5)).total == 5
        assert (await progress.award("ann", 5)).total == 10
    assert failures() == before + 2
