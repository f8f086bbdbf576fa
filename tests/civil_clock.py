"""A service whose clock the test sets: the time of day is what these tests are about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from zoneinfo import ZoneInfo

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1 import catalog_pb2, progress_pb2
from tests.conftest import running_progress
from tests.progress import Progress, level

LEVEL = "l1"
_ids = count(1)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


class Learners:
    """Learners of one course with one level, and the clock by which they live."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self.progress = progress
        self.clock = clock

    async def put(self, user_id: str, zone: str, **fields: object) -> None:
        """Creates the user, or sends the user to another zone."""
        user = catalog_pb2.User(user_id=user_id, time_zone=zone, **fields)  # type: ignore[arg-type]
        await self.progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))

    async def new(self, zone: str) -> str:
        """A user of the caller's own, who has lived in the zone for ever."""
        user_id = f"u{next(_ids)}"
        await self.put(user_id, zone)
        return user_id

    async def submit(
        self, user_id: str, when: datetime | None = None
    ) -> progress_pb2.SubmitProgressResponse:
        """An attempt at `when`, at the clock's moment unless told otherwise."""
        return await self.progress.submit(user_id, LEVEL, occurred_time=when)

    async def award(self, user_id: str, when: datetime | None = None, **fields: object) -> str:
        """The entry's id."""
        answer = await self.progress.award(user_id, 5, occurred_time=when, **fields)
        return answer.entry_id

    async def streak(self, user_id: str) -> tuple[int, int, str]:
        """(present, longest, last active day) as GetUserStats tells them."""
        stats = await self.progress.stats(user_id)
        return (stats.streak_days, stats.longest_streak_days, stats.last_active_date)

    async def active_days(self, user_id: str) -> list[str]:
        """Every active day that is stored, in its order."""
        async with self.progress.sql() as sql:
            days = await sql.fetch(
                """SELECT generate_series(lower(r), upper(r) - 1, '1 day')::date::text AS day
                   FROM users, unnest(active_days) AS r WHERE user_id = $1 ORDER BY 1""",
                user_id,
            )
        return [one["day"] for one in days]


@asynccontextmanager
async def learners(postgres_url: str, zone: str = "UTC") -> AsyncIterator[Learners]:
    """A running service; the deployment is in `zone`."""
    clock = Clock()
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, timezone=zone)
    async with running_progress(settings, clock) as progress:
        await progress.put_course("c", level(LEVEL))
        yield Learners(progress, clock)


def at(wall: str, zone: str) -> datetime:
    """The moment at which the clock on the wall shows this; the first of two."""
    return datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
