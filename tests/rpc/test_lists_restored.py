"""Lists that were begun before PostgreSQL was put back to an older copy."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import asyncpg

from shared.embedded.postgres import EmbeddedPostgres
from shared.errors import InvalidInput
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.listings import filled, lists
from tests.progress import SEQUENCER_LOCK, Progress, refused
from tests.review_scene import quick
from tests.tenures import sharing


@contextmanager
def _copied(server: EmbeddedPostgres, url: str) -> Iterator[str]:
    """The address of a database as this one is now; nobody is connected to it."""
    name = urlsplit(url).path.removeprefix("/")
    server.create_database(f"{name}_copy", template=name)
    try:
        yield server.url(f"{name}_copy")
    finally:
        server.drop_database(f"{name}_copy")


@asynccontextmanager
async def _nothing_numbered(url: str) -> AsyncIterator[None]:
    """No sequencer can number anything within the block, or begin a tenure."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", SEQUENCER_LOCK)
        yield
    finally:
        await connection.close()


async def _go_on(progress: Progress, round_: str) -> None:
    """More of what is listed; in a copy, of the same numbers as in what it is a copy of."""
    await progress.put_users("a", f"u0{round_}")
    for n in range(3):
        await progress.submit("u0", "l0", 5)
        await progress.award("u0", n + 1)
    await quick(progress, "u0", "t0")


async def _head(progress: Progress) -> types_pb2.Position:
    return (await progress.standings.ListStandings(pb.ListStandingsRequest())).position


async def _tokens(progress: Progress, size: int) -> dict[str, str]:
    return {name: (await lister(size, ""))[1] for name, lister in lists(progress).items()}


async def test_pages_from_beyond_the_restored_point_are_refused(
    postgres_server: EmbeddedPostgres, postgres_url: str
) -> None:
    async with running_progress(sharing(postgres_url)) as progress:
        await filled(progress)
        kept = await _tokens(progress, 2)
        pages = {name: await one(500, kept[name]) for name, one in lists(progress).items()}
    with _copied(postgres_server, postgres_url) as copy:
        async with running_progress(sharing(postgres_url)) as progress:
            await _go_on(progress, "x")
            await progress.reset("x", period="2020", window=types_pb2.WINDOW_YEAR)
            await progress.settled()
            lost = await _tokens(progress, 1)
            assert all(lost.values())
        async with running_progress(sharing(copy)) as progress:
            for name, lister in lists(progress).items():
                assert await lister(500, kept[name]) == pages[name], name
            for _ in range(2):
                for name, lister in lists(progress).items():
                    async with refused(InvalidInput, "INVALID_PAGE_TOKEN") as errors:
                        await lister(1, lost[name])
                    assert "another history" in errors[0].message, name
                await _go_on(progress, "y")
                await progress.settled()


async def test_rows_that_had_no_place_in_the_history_yet_are_missed_all_the_same(
    postgres_server: EmbeddedPostgres, postgres_url: str
) -> None:
    """Where they are the last of a page, and have numbers; of the rest see list_pages.py."""
    async with running_progress(sharing(postgres_url)) as progress:
        await filled(progress)
    with _copied(postgres_server, postgres_url) as copy:
        newest_first = ("of a user", "of a level", "of a course", "of all three", "entries")
        async with (
            _nothing_numbered(postgres_url),
            running_progress(sharing(postgres_url)) as progress,
        ):
            head = await _head(progress)
            await _go_on(progress, "x")
            lost = await _tokens(progress, 1)
            assert await _head(progress) == head
        async with running_progress(sharing(copy)) as progress:
            every = lists(progress)
            for round_ in ("y", "z"):
                for name in newest_first:
                    async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
                        await every[name](1, lost[name])
                await _go_on(progress, round_)
