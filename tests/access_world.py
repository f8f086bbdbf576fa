"""Both services in this event loop, with something to ask about, and doors that add no token."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from grpc import aio

from progress_service.settings import ProgressSettings
from shared.embedded.postgres import EmbeddedPostgres
from tests.access_matrix import Doors, put_scene
from tests.conftest import new_database, new_redis, running_progress
from tests.leaderboard_app import dial, direct, running
from tests.pair import Pair
from tests.who_may import Target

UNBOUNDED: dict[str, Any] = {
    "user_calls_per_second": 0,
    "user_concurrent_calls": 0,
    "user_streams": 0,
}
_KEEPS_CHANGING = "history"
"""The table of the sequencer's lease, which is renewed whoever calls."""


@dataclass(frozen=True)
class World:
    """Where the services are, what there is to ask about, and where they keep it."""

    doors: Doors
    targets: dict[str, Target]
    postgres_url: str
    redis_url: str

    async def state(self) -> dict[str, object]:
        """What both stores hold, in short: the same as long as no call has done anything."""
        found: dict[str, object] = {}
        connection = await asyncpg.connect(self.postgres_url)
        try:
            names = await connection.fetch(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
            for (name,) in names:
                if name != _KEEPS_CHANGING:
                    found[name] = await connection.fetchval(
                        f"SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM {name} t"
                    )
        finally:
            await connection.close()
        async with direct(self.redis_url) as redis:
            for key in await redis.keys("*:board:*"):
                found[str(key)] = await redis.zrange(key, 0, -1, withscores=True)
        return found


@contextmanager
def new_stores(server: EmbeddedPostgres, scratch: Path) -> Iterator[tuple[str, str]]:
    """The addresses of a database and a Redis. Not to be called within an event loop."""
    with new_database(server) as postgres_url, new_redis(scratch) as redis:
        yield postgres_url, redis.url()


@asynccontextmanager
async def open_world(postgres_url: str, redis_url: str, **settings: Any) -> AsyncIterator[World]:
    """Both services, SERVING and at rest; these are settings of both."""
    given = {**UNBOUNDED, "drain_seconds": 0.5, **settings}
    # At rest: what verifies all the time would change the state.
    quiet = ProgressSettings(postgres_url=postgres_url, verify_users_per_second=0, **given)
    async with (
        running_progress(quiet) as progress,
        running(redis_url, progress.target, verify_standings_per_second=0, **given) as app,
        dial(app) as channel,
        aio.insecure_channel(progress.target) as progress_door,
        aio.insecure_channel(f"127.0.0.1:{app.server.port}") as leaderboard_door,
    ):
        targets = await put_scene(progress.channel)
        await Pair(channel, progress).settled()
        yield World(Doors(progress_door, leaderboard_door), targets, postgres_url, redis_url)
