"""ExportUser: everything that is stored about a user, as JSON documents of one position."""

import asyncio
import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from shared.errors import InvalidInput, NotFound, ResourceExhausted
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.access import TESTS, acting
from tests.progress import Progress, award, eventually, level, refused

NAMES = [
    "profile",
    "totals",
    "standings",
    "course_progress",
    "level_progress",
    "attempts",
    "ledger",
    "ledger_by_actor",
    "level_rewards",
    "award_references",
    "requests",
    "velocity",
    "history",
    "admin_actions",
]
EARNED = datetime(2026, 3, 4, 12, 30, 5, 250_000, tzinfo=UTC)
ODD = 'Ann "A\\b"; 李\u200d, {x}'


async def export(progress: Progress, user_id: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each document's name and rows, in their order."""
    request = admin_pb2.ExportUserRequest(user_id=user_id)
    call = progress.admin.ExportUser(request, metadata=(("x-laurel-actor", "officer"),))
    return [(one.document_name, json.loads(one.json)) async for one in call]


async def export_by_name(progress: Progress, user_id: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, rows in await export(progress, user_id):
        found[name] += rows
    return found


async def test_an_export_has_everything_about_the_user_and_nothing_about_others(
    progress: Progress,
) -> None:
    user = catalog.User(user_id="ann", display_name=ODD, time_zone="Asia/Kathmandu", hidden=True)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    user.time_zone = "Asia/Jakarta"
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    await progress.put_users("bob")
    await progress.put_course("c", level("l1"))
    await progress.award("bob", 1, reference="of bob")
    attempt = await progress.submit("ann", "l1", 7, request_id="r-1", occurred_time=EARNED)
    entry = await progress.award("ann", 3, reference=ODD, course_id="c", occurred_time=EARNED)
    revoked = await progress.revoke(entry.entry_id, reason=ODD)
    await progress.settled()
    found = await export_by_name(progress, "ann")
    assert list(found) == NAMES
    assert "bob" not in json.dumps(found)
    (profile,) = found["profile"]
    assert (
        profile["user_id"],
        profile["display_name"],
        profile["time_zone"],
        profile["hidden"],
    ) == (
        "ann",
        ODD,
        "Asia/Jakarta",
        True,
    )
    assert [zone for _, zone in profile["earlier_zones"]] == ["Asia/Kathmandu"]
    assert profile["active_days"] == [["2026-03-04", "2026-03-04"]]
    assert {one["metric"]: one["total"] for one in found["totals"]} == {"xp": 50, "marks": 70}
    boards = {
        (one["metric"], one["course_id"], one["window"], one["period"]): one["score"]
        for one in found["standings"]
    }
    assert boards["xp", "c", "week", "2026-W10"] == 50
    assert boards["marks", "", "all_time", ""] == 70
    assert len(boards) == 12
    (progressed,) = found["level_progress"]
    assert (progressed["level_id"], progressed["best_marks"]) == ("l1", 70)
    (tried,) = found["attempts"]
    assert tried["attempt_id"] == attempt.attempt_id
    assert datetime.fromisoformat(tried["occurred_time"]) == EARNED
    assert [one["amount"] for one in found["ledger"]] == [50, 70, 3, -3]
    assert found["ledger"][1]["windows"] == ["all_time"]
    assert found["ledger"][2]["windows"] == ["all_time", "year", "month", "week", "day"]
    last = found["ledger"][3]
    assert (last["entry_id"], last["revokes_entry_id"]) == (revoked.entry_id, entry.entry_id)
    assert (last["reference"], last["reason"]) == (ODD, ODD)
    assert [one["level_id"] for one in found["level_rewards"]] == ["l1"]
    assert [one["reference"] for one in found["award_references"]] == [ODD]
    assert [one["kind"] for one in found["requests"]] == ["submission", "award", "revocation"]
    assert found["requests"][0]["request_id"] == "r-1"
    assert found["requests"][0]["answer"]["attempt_id"] == attempt.attempt_id
    (known,) = [one for one in found["history"] if one["sequence"] == 1]
    assert (known["kind"], known["display_name"]) == ("profile_change", ODD)


async def test_that_it_was_exported_is_on_record_and_in_the_export(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    found = await export_by_name(progress, "ann")
    (action,) = found["admin_actions"]
    method = "laurel.progress.v1.ProgressAdminService/ExportUser"
    assert (action["method"], action["actor"], action["caller"]) == (method, "officer", TESTS)
    page = await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest())
    assert [(one.method, one.actor, one.user_id) for one in page.actions] == [
        (method, "officer", "ann")
    ]


async def test_what_the_user_did_to_others_is_in_the_export(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    by_ann = (("x-laurel-actor", "ann"),)
    for user_id, source in (("bob", "admin"), ("bob", "test"), ("ann", "test")):
        request = award(user_id, 3, source=source, reference=f"{source} for {user_id}")
        await progress.progress.AwardXp(request, metadata=by_ann)
    await progress.award("bob", 9)
    found = await export_by_name(progress, "ann")
    written = [
        (one["user_id"], one["reference"], one["amount"]) for one in found["ledger_by_actor"]
    ]
    assert written == [("bob", "admin for bob", 3), ("bob", "test for bob", 3)]
    assert [one["reference"] for one in found["ledger"]] == ["test for ann"]
    acts = [
        (one["method"].rpartition("/")[2], one["actor"], one["user_id"])
        for one in found["admin_actions"]
    ]
    assert acts == [("AwardXp", "ann", "bob"), ("ExportUser", "officer", "ann")]
    # What she called in another's name is hers too.
    request = award("bob", 1, source="admin")
    await progress.progress.AwardXp(request, **acting("dean", "service", "ann"))
    found = await export_by_name(progress, "ann")
    assert ("dean", "ann") in {(one["actor"], one["caller"]) for one in found["admin_actions"]}
    # Of what others did to bob, his export has the acts; what he did is nothing.
    found = await export_by_name(progress, "bob")
    assert found["ledger_by_actor"] == []
    assert [one["actor"] for one in found["admin_actions"]] == ["ann", "dean", "officer"]


async def test_many_rows_come_a_thousand_to_a_document_and_none_is_an_empty_array(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    awards = [award("ann", 1, reference=f"x{n}", request_id=f"q{n}") for n in range(1_000)]
    for _ in range(2):
        for one in awards:
            one.request_id += "+"
            one.reference += "+"
        batch = admin_pb2.ImportProgressRequest(awards=awards)
        async for answer in progress.admin.ImportProgress(iter([batch])):
            assert answer.recorded == 1_000
    await progress.award("ann", 1)
    documents = await export(progress, "ann")
    sizes: dict[str, list[int]] = defaultdict(list)
    for name, rows in documents:
        sizes[name].append(len(rows))
    assert list(sizes) == NAMES
    assert sizes["ledger"] == [1_000, 1_000, 1]
    assert sizes["award_references"] == [1_000, 1_000]
    assert sizes["attempts"] == [0]
    ledger = [row for name, rows in documents if name == "ledger" for row in rows]
    assert [row["total_after"] for row in ledger] == list(range(1, 2_002))


async def test_large_answers_make_documents_of_a_mebibyte_or_so(progress: Progress) -> None:
    await progress.put_users("ann")
    async with progress.sql() as sql:
        await sql.execute(
            r"""INSERT INTO request_keys (user_id, request_id, kind, fingerprint, answer)
                SELECT 'ann', 'r' || n, 1, '\x00', to_jsonb(repeat('x', 300000))
                FROM generate_series(1, 20) n"""
        )
    request = admin_pb2.ExportUserRequest(user_id="ann")
    sizes = [
        len(one.json)
        async for one in progress.admin.ExportUser(request)
        if one.document_name == "requests"
    ]
    assert len(sizes) == 5
    assert max(sizes) < 2 * 1024 * 1024


async def test_nobody_is_exported_who_is_not_there(progress: Progress) -> None:
    async with refused(NotFound, "USER_NOT_FOUND"):
        await export(progress, "nobody")
    async with refused(InvalidInput, "INVALID_FIELD"):
        await export(progress, "")
    page = await progress.admin.ListAdminActions(admin_pb2.ListAdminActionsRequest())
    assert list(page.actions) == []


async def test_beyond_two_exports_at_once_callers_are_told_when_to_retry(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    async with progress.sql() as sql:
        async with sql.transaction():
            await sql.execute("LOCK TABLE award_references IN ACCESS EXCLUSIVE MODE")
            calls = [asyncio.create_task(export(progress, "ann")) for _ in range(2)]

            async def both_wait() -> bool:
                async with progress.sql() as other:
                    waiting = await other.fetchval(
                        """SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'"""
                    )
                return bool(waiting == 2)

            await eventually(both_wait, "two exports are under way")
            async with refused(ResourceExhausted, "TOO_MANY_EXPORTS") as errors:
                await export(progress, "ann")
            assert errors[0].retry_delay_s
        for call in calls:
            assert await call
    assert await export(progress, "ann")


async def test_an_export_is_of_one_moment_while_others_write(progress: Progress) -> None:
    await progress.put_users("ann")
    writing = True

    async def write() -> None:
        while writing:
            await progress.award("ann", 1, reference=f"n{len(seen)}-{datetime.now(UTC)}")

    seen: list[int] = []
    task = asyncio.create_task(write())
    for _ in range(8):
        found = await export_by_name(progress, "ann")
        entries = [one["amount"] for one in found["ledger"]]
        assert len(found["requests"]) == len(found["award_references"]) == len(entries)
        assert sum(one["total"] for one in found["totals"]) == sum(entries)
        seen.append(len(entries))
    writing = False
    await task
    assert seen == sorted(seen)
