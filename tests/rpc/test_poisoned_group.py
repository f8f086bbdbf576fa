"""One user who cannot be written for fails alone, whatever the reason."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from progress_service.settings import ProgressSettings
from shared.errors import Unavailable
from shared.gen.laurel.progress.v1 import catalog_pb2
from tests.conftest import running_progress
from tests.imports import attempt, batch, counts, import_all
from tests.progress import Progress, eventually, held, level, refused, waits_for_lock

POISON = """
    CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not ann'; END $$;
    CREATE TRIGGER poison BEFORE INSERT ON attempts FOR EACH ROW
        WHEN (NEW.user_id = 'ann') EXECUTE FUNCTION poison();
"""
USERS = ("ann", "bob", "eve")


@pytest.fixture
async def single(postgres_url: str) -> AsyncIterator[Progress]:
    """A service with one group writer, a course c with level l1, and users."""
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, group_writers=1)
    async with running_progress(settings) as progress:
        await progress.put_users(*USERS, "other")
        await progress.put_course("c", level("l1"))
        yield progress


async def one_group(progress: Progress) -> list[asyncio.Task[object]]:
    """Submissions of every user that are committed together."""
    async with held(progress, "other"):
        first = asyncio.create_task(progress.award("other", 1))
        await waits_for_lock(progress)
        calls = [asyncio.create_task(progress.submit(who, "l1")) for who in USERS]

        async def all_wait() -> bool:
            return progress.app.committer._count == 1 + len(USERS)

        await eventually(all_wait, "all wait for the only writer")
    await first
    return calls  # type: ignore[return-value]


async def test_any_error_of_one_user_leaves_the_others_of_the_group_alone(
    single: Progress,
) -> None:
    async with single.sql() as sql:
        await sql.execute(POISON)
    calls = await one_group(single)
    async with refused(Unavailable, "WRITE_FAILED"):
        await calls[0]
    await asyncio.gather(*calls[1:])
    assert await single.top() == [(1, "bob", 50), (1, "eve", 50), (3, "other", 1)]


async def test_an_import_goes_on_past_a_user_who_cannot_be_written_for(single: Progress) -> None:
    async with single.sql() as sql:
        await sql.execute(POISON)
    items = [attempt(who, "l1", 10, "a") for who in USERS]
    (answer,) = await import_all(single, [batch(*items)])
    assert counts(answer) == (3, 2, 0, 1, 100)
    assert [(one.index, one.reason) for one in answer.errors] == [(0, "WRITE_FAILED")]


async def test_a_user_whom_another_transaction_holds_fails_alone_and_soon(
    single: Progress,
) -> None:
    calls = []
    async with asyncio.timeout(20), held(single, "bob"):
        calls = [asyncio.create_task(single.submit(who, "l1", request_id="a")) for who in USERS]
        async with refused(Unavailable, "USER_BUSY") as errors:
            await calls[1]
        assert errors[0].metadata == {"user_id": "bob"}
        assert [(await calls[n]).xp_earned for n in (0, 2)] == [50, 50]
        items = [attempt(who, "l1", 10, "b") for who in (*USERS, "nobody")]
        (answer,) = await import_all(single, [batch(*items)])
        assert [(one.index, one.reason) for one in answer.errors] == [
            (1, "USER_BUSY"),
            (3, "USER_NOT_FOUND"),
        ]
    assert not (await single.submit("bob", "l1", request_id="a")).replayed


async def test_a_stored_zone_that_this_process_does_not_know_reads_as_the_deployments(
    single: Progress,
) -> None:
    async with single.sql() as sql:
        await sql.execute("UPDATE users SET time_zone = 'Mars/Olympus' WHERE user_id = 'ann'")
    calls = await one_group(single)
    await asyncio.gather(*calls)
    assert (await single.stats("ann")).streak_days == 1


async def test_an_edit_that_meets_a_held_user_says_so(single: Progress) -> None:
    user = catalog_pb2.User(user_id="ann", display_name="New")
    async with asyncio.timeout(20), held(single, "ann"), refused(Unavailable, "ROW_BUSY"):
        await single.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))
