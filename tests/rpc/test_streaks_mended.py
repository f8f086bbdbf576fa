"""Freezes, amnesty days, withdrawn facts and carried days, as a user's figures show them."""

import asyncio
from datetime import timedelta

import pytest

from progress_service.domain.bounds import MAX_FREEZES
from shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2, progress_pb2
from tests.civil_clock import Learners, at, learners
from tests.imports import batch, import_all
from tests.progress import Progress, refused

DAY = timedelta(days=1)
NOON = at("2026-05-20T12:00", "UTC")


async def grant(progress: Progress, user_id: str, days: int, request_id: str) -> int:
    request = progress_pb2.GrantStreakFreezesRequest(
        user_id=user_id, days=days, request_id=request_id
    )
    return (await progress.progress.GrantStreakFreezes(request)).streak_freezes


async def put_amnesty(progress: Progress, date: str, reason: str = "") -> None:
    request = catalog_pb2.PutAmnestyDayRequest(date=date, reason=reason)
    await progress.catalog.PutAmnestyDay(request)


async def amnesty_days(progress: Progress) -> list[tuple[str, str]]:
    found = await progress.catalog.ListAmnestyDays(catalog_pb2.ListAmnestyDaysRequest())
    assert list(found.dates) == [one.date for one in found.amnesty_days]
    return [(one.date, one.reason) for one in found.amnesty_days]


async def acts(progress: Progress, method: str) -> list[tuple[str, str]]:
    """(user_id, detail) of every recorded call of a method, oldest first."""
    async with progress.sql() as sql:
        rows = await sql.fetch(
            "SELECT user_id, detail FROM admin_actions WHERE method = $1 ORDER BY action_id",
            f"laurel.progress.v1.{method}",
        )
    return [(row["user_id"], row["detail"]) for row in rows]


async def freezes(service: Learners, user_id: str) -> tuple[int, int]:
    """(streak days, freezes left) as GetUserStats tells them."""
    stats = await service.progress.stats(user_id)
    return (stats.streak_days, stats.streak_freezes)


async def test_a_gap_uses_up_freezes_and_the_streak_lives_on(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment = NOON
        user_id = await service.new("Pacific/Auckland")
        await service.submit(user_id)
        assert await grant(service.progress, user_id, 2, "a") == 2
        assert await freezes(service, user_id) == (1, 2)
        service.clock.moment += 2 * DAY
        assert await freezes(service, user_id) == (1, 1)
        service.clock.moment += DAY
        assert (await service.submit(user_id)).streak_days == 2
        assert await freezes(service, user_id) == (2, 0)
        # The missed day comes late, and gives its freeze back.
        await service.award(user_id, NOON + DAY)
        assert await freezes(service, user_id) == (3, 1)
        service.clock.moment += 3 * DAY
        assert await freezes(service, user_id) == (0, 0)
        # Support mends what was lost in the week before.
        assert await grant(service.progress, user_id, 1, "b") == 0
        assert await freezes(service, user_id) == (3, 0)


async def test_a_grant_counts_once_for_its_request(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        progress, user_id = service.progress, await service.new("")
        answers = [await grant(progress, user_id, 3, "a") for _ in range(2)]
        assert [*answers, await grant(progress, user_id, 4, "b")] == [3, 3, 7]
        assert await grant(progress, user_id, 3, "a") == 3
        async with refused(Conflict, "REQUEST_ID_REUSED"):
            await grant(progress, user_id, 4, "a")
        async with refused(Conflict, "REQUEST_ID_REUSED"):
            await progress.award(user_id, 4, request_id="a")
        assert await freezes(service, user_id) == (0, 7)
        recorded = await acts(progress, "ProgressService/GrantStreakFreezes")
        assert recorded == [(user_id, "3 days"), (user_id, "4 days")]
        async with progress.sql() as sql:
            stored = await sql.fetchval("SELECT freeze_grants::text FROM users")
        assert stored == '[["2026-11-20", 7]]'


async def test_grants_that_race_all_count(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        user_id = await service.new("")
        calls = [grant(service.progress, user_id, 1, f"r{n % 8}") for n in range(16)]
        assert sorted(await asyncio.gather(*calls)) == sorted([*range(1, 9), *range(1, 9)])
        assert await freezes(service, user_id) == (0, 8)


async def test_a_wrong_grant_is_refused(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        progress, user_id = service.progress, await service.new("")
        for days in (0, -1, 367, 2**31 - 1):
            async with refused(InvalidInput, "INVALID_FIELD") as errors:
                await grant(progress, user_id, days, "a")
            assert [one.field for one in errors[0].violations] == ["days"]
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await grant(progress, "", 0, "")
        fields = {one.field for one in errors[0].violations}
        assert fields == {"user_id", "days", "request_id"}
        async with refused(NotFound, "USER_NOT_FOUND"):
            await grant(progress, "nobody", 1, "a")
        for n in range(MAX_FREEZES // 366):
            await grant(progress, user_id, 366, f"g{n}")
        async with refused(FailedPrecondition, "TOO_MANY_STREAK_FREEZES"):
            await grant(progress, user_id, 1, "more")
        assert await freezes(service, user_id) == (0, MAX_FREEZES)


async def test_an_outage_ends_nobodys_streak(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        progress, clock = service.progress, service.clock
        clock.moment = NOON
        users = [await service.new(zone) for zone in ("Asia/Jakarta", "America/New_York")]
        for user_id in users:
            await service.submit(user_id)
        await grant(progress, users[0], 1, "a")
        clock.moment += 2 * DAY
        await put_amnesty(progress, "2026-05-21", "The database was away.")
        assert [await freezes(service, one) for one in users] == [(1, 1), (1, 0)]
        answers = [await service.submit(one) for one in users]
        assert [one.streak_days for one in answers] == [2, 2]


async def test_amnesty_days_are_listed_and_recorded_once(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        progress = service.progress
        assert await amnesty_days(progress) == []
        await put_amnesty(progress, "2100-12-31", "last")
        for reason in ("power", "power", "network"):
            await put_amnesty(progress, "2000-01-01", reason)
        assert await amnesty_days(progress) == [("2000-01-01", "network"), ("2100-12-31", "last")]
        assert await acts(progress, "CatalogService/PutAmnestyDay") == [
            ("", "2100-12-31: last"),
            ("", "2000-01-01: power"),
            ("", "2000-01-01: network"),
        ]
        for date, reason, field in (
            ("", "", "date"),
            ("1999-12-31", "", "date"),
            ("2101-01-01", "", "date"),
            ("2026-02-30", "", "date"),
            ("2026-W47-5", "", "date"),
            ("2026-11-20", "x" * 501, "reason"),
            ("2026-11-20", "a\x00", "reason"),
        ):
            async with refused(InvalidInput, "INVALID_FIELD") as errors:
                await put_amnesty(progress, date, reason)
            assert [one.field for one in errors[0].violations] == [field]
        assert len(await amnesty_days(progress)) == 2


async def test_an_award_that_credits_nothing_makes_no_day_active(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment = NOON
        user_id = await service.new("")
        first = await service.award(user_id, NOON - 3 * DAY, reference="week 1")
        assert await service.award(user_id, NOON, reference="week 1") == first
        assert await service.active_days(user_id) == ["2026-05-17"]


async def test_a_day_that_only_a_revoked_award_made_active_is_so_no_more(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment = NOON
        user_id = await service.new("Asia/Kathmandu")
        entries = [await service.award(user_id, NOON - n * DAY) for n in (0, 1, 1, 2)]
        await service.submit(user_id, NOON - 2 * DAY)
        assert await service.streak(user_id) == (3, 3, "2026-05-20")
        for entry_id, days in zip(
            entries, ((2, "19"), (2, "19"), (1, "18"), (1, "18")), strict=True
        ):
            await service.progress.revoke(entry_id)
            stats = await service.progress.stats(user_id)
            assert stats.longest_streak_days == days[0]
            assert stats.last_active_date == f"2026-05-{days[1]}"
        # What the level paid is no fact of its own: the attempt stands.
        (paid,) = [
            one
            for one in await service.progress.entries(user_id)
            if (one.source, one.metric) == ("level", "xp") and one.amount > 0
        ]
        await service.progress.revoke(paid.entry_id)
        assert await service.active_days(user_id) == ["2026-05-18"]


async def test_a_withdrawn_attempt_takes_its_day_though_what_the_level_paid_stands(
    postgres_url: str,
) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment = NOON
        user_id = await service.new("")
        first = await service.submit(user_id, NOON - DAY)
        await service.submit(user_id, NOON)
        await service.progress.void(first.attempt_id)
        assert await service.progress.totals(user_id) == {"xp": 50, "marks": 100}
        assert await service.active_days(user_id) == ["2026-05-20"]


async def test_carried_days_stay_when_the_facts_are_taken_anew(postgres_url: str) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment = NOON
        user_id = await service.new("")
        days = [admin_pb2.ActiveDay(user_id=user_id, date=f"2026-05-{day}") for day in (17, 18, 19)]
        await import_all(service.progress, [batch(active_days=days)])
        await import_all(service.progress, [batch(active_days=days[:2])])
        entries = [await service.award(user_id, NOON - n * DAY) for n in (0, 1)]
        assert await service.streak(user_id) == (4, 4, "2026-05-20")
        for entry_id in entries:
            await service.progress.revoke(entry_id)
        assert await service.streak(user_id) == (3, 3, "2026-05-19")


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_day_that_has_not_begun_anywhere_is_not_carried(
    postgres_url: str, dry_run: bool
) -> None:
    async with learners(postgres_url) as service:
        service.clock.moment = at("2026-05-20T10:00", "UTC")
        user_id = await service.new("")
        for day, right in (("2026-05-21", True), ("2026-05-22", False), ("1999-12-31", False)):
            days = [admin_pb2.ActiveDay(user_id=user_id, date=day)]
            message = batch(active_days=days, dry_run=dry_run)
            (answer,) = await import_all(service.progress, [message])
            assert [one.reason for one in answer.errors] == ([] if right else ["INVALID_FIELD"])
        assert await service.active_days(user_id) == ([] if dry_run else ["2026-05-21"])
