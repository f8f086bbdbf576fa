"""Streaks through daylight saving, travel and late events, in any order of arrival."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import product
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from progress_service.store import active_days
from tests.civil_clock import Learners, at, learners

ZONES = [
    "Asia/Jakarta",
    "America/New_York",
    "Pacific/Auckland",
    "Pacific/Kiritimati",
    "Asia/Kathmandu",
]
# Some days before a change of the clocks somewhere: forward and back, north and south.
BEFORE_CHANGES = ["2024-03-07", "2024-04-04", "2024-09-26", "2024-10-31"]
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def every_day(first: str, zone: str, days: int) -> list[datetime]:
    """A moment of each civil day: shortly after midnight and shortly before, in turn."""
    begin = date.fromisoformat(first)
    walls = ("00:05", "23:55")
    return [at(f"{begin + n * DAY}T{walls[n % 2]}", zone) for n in range(days)]


async def test_a_learner_of_every_day_keeps_the_streak_through_every_change_of_the_clocks(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        for zone, first in product(ZONES, BEFORE_CHANGES):
            user_id = await service.new(zone)
            for n, moment in enumerate(every_day(first, zone, 7), 1):
                service.clock.moment = moment
                assert (await service.submit(user_id)).streak_days == n, (zone, first)
            last = str(date.fromisoformat(first) + 6 * DAY)
            assert await service.streak(user_id) == (7, 7, last)
            # Lost when the next day is over there, and not a second earlier.
            over = at(f"{date.fromisoformat(last) + 2 * DAY}T00:00", zone)
            service.clock.moment = over - timedelta(seconds=1)
            assert await service.streak(user_id) == (7, 7, last), zone
            service.clock.moment = over
            assert await service.streak(user_id) == (0, 7, last), zone


async def test_late_events_in_any_order_give_the_streak_that_they_would_have_given_in_time(
    postgres_url: str,
) -> None:
    random = Random(8)
    async with learners(postgres_url, "America/New_York") as service:
        for zone, first in product(ZONES, BEFORE_CHANGES):
            moments = every_day(first, zone, 7)
            del moments[4]
            service.clock.moment = moments[-1] + timedelta(hours=12)
            user_id = await service.new(zone)
            random.shuffle(moments)
            for n, moment in enumerate(moments):
                if n % 2:
                    await service.submit(user_id, moment)
                else:
                    await service.award(user_id, moment)
            days = sorted(str(one.astimezone(ZoneInfo(zone)).date()) for one in moments)
            assert await service.active_days(user_id) == days
            assert await service.streak(user_id) == (2, 4, days[-1])


async def test_who_flies_back_over_the_date_line_meets_a_day_again_and_counts_it_once(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        user_id = await service.new("Pacific/Kiritimati")
        for wall in ("2026-05-04T20:00", "2026-05-05T20:00"):
            service.clock.moment = at(wall, "Pacific/Kiritimati")
            await service.submit(user_id)
        # Twenty-four hours behind: it is the fourth again.
        service.clock.moment += MINUTE
        await service.put(user_id, "Pacific/Honolulu")
        assert await service.streak(user_id) == (2, 2, "2026-05-05")
        assert (await service.submit(user_id)).streak_days == 2
        for wall, days in (("2026-05-05T20:00", 2), ("2026-05-06T20:00", 3)):
            service.clock.moment = at(wall, "Pacific/Honolulu")
            assert (await service.submit(user_id)).streak_days == days
        assert await service.active_days(user_id) == ["2026-05-04", "2026-05-05", "2026-05-06"]


async def test_who_flies_ahead_over_the_date_line_may_learn_before_and_after(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        user_id = await service.new("Pacific/Honolulu")
        service.clock.moment = at("2026-05-04T20:00", "Pacific/Honolulu")
        await service.submit(user_id)
        service.clock.moment += MINUTE
        await service.put(user_id, "Pacific/Kiritimati")
        assert (await service.submit(user_id)).streak_days == 2
        # What was learned on the way, before the change, comes late and counts where it was.
        await service.submit(user_id, at("2026-05-03T23:59", "Pacific/Honolulu"))
        assert await service.streak(user_id) == (3, 3, "2026-05-05")
        assert await service.active_days(user_id) == ["2026-05-03", "2026-05-04", "2026-05-05"]


async def test_days_keep_the_zone_that_the_user_had_then(postgres_url: str) -> None:
    async with learners(postgres_url, "Asia/Jakarta") as service:
        evening = at("2026-05-05T23:00", "America/New_York")
        service.clock.moment = at("2026-05-20T12:00", "UTC")
        # Without a zone of one's own: the deployment's, where the next day has begun.
        user_id = await service.new("")
        await service.put(user_id, "America/New_York")
        await service.submit(user_id, evening)
        assert await service.active_days(user_id) == ["2026-05-06"]
        service.clock.moment += 10 * DAY
        await service.award(user_id, service.clock.moment - 2 * DAY)
        await service.put(user_id, "Asia/Kathmandu")
        assert await service.active_days(user_id) == ["2026-05-06", "2026-05-28"]
        other = await service.new("America/New_York")
        await service.submit(other, evening)
        assert await service.active_days(other) == ["2026-05-05"]


async def test_an_event_ahead_of_the_clock_follows_a_change_of_zone(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment = at("2026-05-05T23:58", "Asia/Jakarta")
        user_id = await service.new("Asia/Jakarta")
        await service.submit(user_id, service.clock.moment + 4 * MINUTE)
        assert await service.active_days(user_id) == ["2026-05-06"]
        # It is the afternoon of the day before in Madrid, and four minutes later too.
        await service.put(user_id, "Europe/Madrid")
        assert await service.active_days(user_id) == ["2026-05-05"]
        service.clock.moment += MINUTE
        await service.submit(user_id)
        await service.put(user_id, "Asia/Jakarta")
        assert await service.active_days(user_id) == ["2026-05-05", "2026-05-06"]


DEPLOYMENT = "Pacific/Auckland"
BEGIN = datetime(2024, 3, 8, tzinfo=UTC)
HOURS = st.integers(0, 6 * 24 * 4).map(lambda quarters: quarters * timedelta(minutes=15))
LATE = st.one_of(
    st.integers(-5, 0).map(lambda minutes: minutes * timedelta(minutes=1)),
    st.integers(0, 72).map(lambda hours: hours * timedelta(hours=1)),
)
KINDS = ["submit", "award", "submit and void", "award and revoke"]
EVENTS = st.lists(st.tuples(HOURS, LATE, st.sampled_from(KINDS)), max_size=10)
MOVES = st.lists(st.tuples(HOURS, st.sampled_from([*ZONES, "Pacific/Honolulu", ""])), max_size=4)


@contextmanager
def serving(postgres_url: str) -> Iterator[tuple[asyncio.Runner, Learners]]:
    """The service in a loop that runs while an example does."""
    with asyncio.Runner() as runner:
        running = learners(postgres_url, DEPLOYMENT)
        try:
            yield runner, runner.run(running.__aenter__())
        finally:
            runner.run(running.__aexit__(None, None, None))


def test_any_order_of_arrival_gives_the_days_that_the_zones_of_the_moments_say(
    postgres_url: str,
) -> None:
    with serving(postgres_url) as (runner, service):

        @settings(
            max_examples=60,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(st.sampled_from(ZONES), EVENTS, MOVES)
        def check(
            home: str,
            events: list[tuple[timedelta, timedelta, str]],
            moves: list[tuple[timedelta, str]],
        ) -> None:
            runner.run(arrive(service, home, events, moves))

        check()


async def arrive(
    service: Learners,
    home: str,
    events: list[tuple[timedelta, timedelta, str]],
    moves: list[tuple[timedelta, str]],
) -> None:
    """Plays the events as they arrive, late or ahead of the clock, and the moves in between."""
    service.clock.moment = BEGIN - DAY
    user_id = await service.new(home)
    travels = sorted(dict(moves).items())
    arrivals = [(since, "move", zone) for since, zone in travels]
    arrivals += [(since + late, kind, str(BEGIN + since)) for since, late, kind in events]
    for since, kind, what in sorted(arrivals):
        service.clock.moment = BEGIN + since
        if kind == "move":
            await service.put(user_id, what)
        elif kind.startswith("award"):
            entry_id = await service.award(user_id, datetime.fromisoformat(what))
            if kind == "award and revoke":
                await service.progress.revoke(entry_id)
        else:
            answer = await service.submit(user_id, datetime.fromisoformat(what))
            if kind == "submit and void":
                await service.progress.void(answer.attempt_id)
    days = set()
    for since in [since for since, _, kind in events if kind in {"submit", "award"}]:
        zone = [home, *(zone for moved, zone in travels if moved <= since)][-1] or DEPLOYMENT
        days.add(str((BEGIN + since).astimezone(ZoneInfo(zone)).date()))
    assert await service.active_days(user_id) == sorted(days)
    await service.progress.app.database.write(
        lambda connection: active_days.recompute(connection, [user_id], ZoneInfo(DEPLOYMENT))
    )
    assert await service.active_days(user_id) == sorted(days)
