"""Whose token an administrative act was called with, whoever it was said to be for."""

from collections.abc import AsyncIterable, Iterable
from datetime import UTC, datetime

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import acting, as_role
from tests.conftest import running_progress
from tests.progress import Progress, award, level
from tests.review_scene import prepared, quick, slow

WHO = acting("ceo@example.com", "admin", "hacked-console")


async def drain(answers: AsyncIterable[object]) -> None:
    async for _ in answers:
        pass


async def acts(progress: Progress) -> list[tuple[str, str, str]]:
    """Method, actor and caller of each, oldest first."""
    request = admin_pb2.ListAdminActionsRequest(page_size=500)
    found = (await progress.admin.ListAdminActions(request)).actions
    return [(one.method.rpartition("/")[2], one.actor, one.caller) for one in reversed(found)]


async def do_everything(progress: Progress) -> None:
    """Every act there is, on what `prepared` has made."""
    admin, edit, call = progress.admin, progress.catalog, progress.progress
    entry = await call.AwardXp(award("ann", 5, source="admin"), **WHO)
    await call.RevokeXp(pb.RevokeXpRequest(entry_id=entry.entry_id, request_id="x1"), **WHO)
    attempt = await slow(progress)
    await call.VoidAttempt(
        pb.VoidAttemptRequest(attempt_id=attempt.attempt_id, request_id="x2"), **WHO
    )
    doubted = (await quick(progress)).attempt_id
    decision = admin_pb2.ResolveFlaggedAttemptRequest(attempt_id=doubted, accept=True)
    await admin.ResolveFlaggedAttempt(decision, **WHO)
    freezes = pb.GrantStreakFreezesRequest(user_id="ann", days=1, request_id="x3")
    await call.GrantStreakFreezes(freezes, **WHO)
    hidden = catalog.User(user_id="bob", hidden=True)
    await edit.PutUser(catalog.PutUserRequest(user=hidden), **WHO)
    section = catalog.Section(section_id="s", title="S", levels=[level("d1")])
    course = catalog.Course(
        course_id="d", title="D", unlock_mode=catalog.UNLOCK_MODE_OPEN, sections=[section]
    )
    await edit.PutCourse(catalog.PutCourseRequest(course=course), **WHO)
    await edit.PutMetric(catalog.PutMetricRequest(metric=catalog.Metric(metric="stars")), **WHO)
    await edit.PutAmnestyDay(catalog.PutAmnestyDayRequest(date="2026-01-02"), **WHO)
    course.title = "Dd"
    batches: Iterable[admin_pb2.ImportProgressRequest] = [
        admin_pb2.ImportProgressRequest(courses=[course])
    ]
    await drain(admin.ImportProgress(iter(batches), **WHO))
    for user_id in ("ann", ""):
        asked = admin_pb2.RecalculateCourseRequest(course_id="c", user_id=user_id)
        await drain(admin.RecalculateCourse(asked, **WHO))
    async with progress.sql() as sql:
        await sql.execute("UPDATE user_totals SET total = total + 1 WHERE user_id = 'ann'")
    await drain(admin.BackfillTotals(admin_pb2.BackfillTotalsRequest(), **WHO))
    year = types_pb2.Board(window=types_pb2.WINDOW_YEAR, period=str(datetime.now(UTC).year))
    await admin.ResetWindow(admin_pb2.ResetWindowRequest(board=year, request_id="x4"), **WHO)
    await drain(admin.ExportUser(admin_pb2.ExportUserRequest(user_id="ann"), **WHO))
    await admin.EraseUser(admin_pb2.EraseUserRequest(user_id="bob"), **WHO)


async def test_whoever_is_named_every_act_has_the_subject_of_the_token(progress: Progress) -> None:
    await prepared(progress)
    before = len(await acts(progress))
    await do_everything(progress)
    found = (await acts(progress))[before:]
    assert {(actor, caller) for _, actor, caller in found} == {
        ("ceo@example.com", "hacked-console")
    }
    assert {method for method, _, _ in found} == {
        "AwardXp",
        "RevokeXp",
        "VoidAttempt",
        "ResolveFlaggedAttempt",
        "GrantStreakFreezes",
        "PutUser",
        "PutCourse",
        "PutMetric",
        "PutAmnestyDay",
        "ImportProgress",
        "RecalculateCourse",
        "BackfillTotals",
        "ResetWindow",
        "ExportUser",
        "EraseUser",
    }


async def test_a_backend_that_awards_by_hand_for_somebody_is_on_record(progress: Progress) -> None:
    await progress.put_users("ann")
    by_hand = award("ann", 5, source="admin")
    await progress.progress.AwardXp(by_hand, **acting("ceo", "service", "hacked-backend"))
    assert await acts(progress) == [("AwardXp", "ceo", "hacked-backend")]
    # The ledger has what was said, as its contract tells.
    (entry,) = await progress.entries("ann")
    assert entry.actor == "ceo"


async def test_whoever_names_nobody_is_both(progress: Progress) -> None:
    await progress.put_users("ann")
    by_hand = award("ann", 5, source="admin")
    await progress.progress.AwardXp(by_hand, **as_role("service", "shop"))
    assert await acts(progress) == [("AwardXp", "shop", "shop")]


async def test_one_who_is_erased_by_their_own_token_is_not_named(progress: Progress) -> None:
    await progress.put_users("ann")
    request = admin_pb2.EraseUserRequest(user_id="ann")
    await progress.admin.EraseUser(request, **acting("dean", "admin", "ann"))
    assert await acts(progress) == [("EraseUser", "dean", "")]


async def test_without_authentication_there_is_no_caller(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, auth="off")
    async with running_progress(settings) as progress:
        await progress.put_users("ann")
        await progress.progress.AwardXp(
            award("ann", 5, source="admin"), metadata=(("x-laurel-actor", "me"),)
        )
        assert await acts(progress) == [("AwardXp", "me", "")]
