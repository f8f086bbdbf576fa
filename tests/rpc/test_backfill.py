"""BackfillTotals: what differs from the ledger is mended, and nothing else is touched."""

from typing import Any

from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.types.v1 import types_pb2
from tests.audit import (
    DAMAGE,
    MARKS,
    UPDATES,
    XP,
    backfill,
    damage,
    misfolded,
    scene,
    verified,
    verify,
)
from tests.progress import Progress


async def stored(progress: Progress) -> list[Any]:
    """Everything that a backfill may write."""
    async with progress.sql() as sql:
        return [
            await sql.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
            for table in ("user_totals", "standings", "level_rewards", "changes", "xp_entries")
        ]


async def corrections(progress: Progress) -> list[tuple[str, str, int]]:
    async with progress.sql() as sql:
        rows = await sql.fetch(
            "SELECT user_id, period, amount FROM changes WHERE kind = 6 ORDER BY sequence"
        )
        return [tuple(row) for row in rows]


async def test_damage_is_mended_and_boards_follow(progress: Progress) -> None:
    await scene(progress)
    before = await stored(progress)
    await damage(progress, *DAMAGE)
    done = await backfill(progress)
    assert done.updates == UPDATES
    assert (done.counts.users_total, done.counts.users_updated) == (3, 2)
    assert (done.counts.users_unchanged, done.counts.standings_corrected) == (1, 2)
    assert done.counts.completions_credited == 0
    await verified(progress)
    assert await progress.totals("ann") == {"xp": 80, "marks": 100, "problems_solved": 3}
    assert await progress.top() == [(1, "ann", 80), (2, "bob", 20)]
    assert await corrections(progress) == [("ann", "", 80), ("cyd", "", 0)]
    # The ledger and what was paid for are as they were.
    after = await stored(progress)
    assert (after[2], after[4]) == (before[2], before[4])


async def test_a_second_backfill_finds_nothing(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, *DAMAGE)
    await backfill(progress)
    mended = await stored(progress)
    again = await backfill(progress)
    assert (again.updates, again.counts.users_unchanged) == ([], 3)
    assert again.counts.standings_corrected == 0
    assert await stored(progress) == mended


async def test_a_dry_run_reports_the_same_and_changes_nothing(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, *DAMAGE)
    before = await stored(progress)
    found, _ = await verify(progress)
    dry = await backfill(progress, dry_run=True)
    assert await stored(progress) == before
    assert (await verify(progress))[0] == found
    assert await actions(progress) == []
    assert dry == await backfill(progress)


async def actions(progress: Progress) -> list[tuple[str, str]]:
    """Whom each backfill on record concerns, and who made it, oldest first."""
    answer = await progress.admin.ListAdminActions(pb.ListAdminActionsRequest(page_size=500))
    method = "laurel.progress.v1.ProgressAdminService/BackfillTotals"
    return [(one.user_id, one.actor) for one in reversed(answer.actions) if one.method == method]


async def test_who_mended_whom_is_on_record(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, *DAMAGE)
    call = progress.admin.BackfillTotals(
        pb.BackfillTotalsRequest(), metadata=(("x-laurel-actor", "ops"),)
    )
    assert [answer async for answer in call]
    whom = ["", "ann", "bob", "cyd"]
    assert await actions(progress) == [(one, "ops") for one in whom]


async def test_figures_of_users_who_do_not_exist_are_left_alone(progress: Progress) -> None:
    await scene(progress)
    await damage(
        progress,
        "INSERT INTO user_totals VALUES ('nobody', 'xp', 5)",
        f"""INSERT INTO standings (user_id, board_id, score, added, hidden)
            SELECT 'nobody', board_id, 4, 4, false FROM boards WHERE {MARKS}""",
    )
    done = await backfill(progress)
    assert (done.updates, done.counts.standings_corrected) == ([], 0)
    assert len((await verify(progress))[0]) == 2
    assert await corrections(progress) == []


async def test_a_standing_on_a_board_that_is_gone_comes_back_with_it(progress: Progress) -> None:
    await scene(progress)
    await damage(
        progress,
        f"DELETE FROM standings WHERE {MARKS}",
        f"DELETE FROM boards WHERE {MARKS}",
    )
    assert (await backfill(progress)).counts.standings_corrected == 1
    await verified(progress)
    assert await progress.top(metric="marks") == [(1, "ann", 100)]


async def test_a_hidden_user_is_mended_and_stays_off_the_boards(progress: Progress) -> None:
    await scene(progress)

    def hide(hidden: bool) -> catalog.PutUserRequest:
        return catalog.PutUserRequest(user=catalog.User(user_id="ann", hidden=hidden))

    await progress.catalog.PutUser(hide(True))
    await progress.settled()
    await damage(progress, f"UPDATE standings SET score = 15 WHERE user_id = 'ann' AND {XP}")
    assert (await backfill(progress)).counts.standings_corrected == 1
    assert await progress.top() == [(1, "bob", 20)]
    await progress.catalog.PutUser(hide(False))
    assert await progress.top() == [(1, "ann", 80), (2, "bob", 20)]


async def test_a_reset_board_is_mended_to_what_counts_since(progress: Progress) -> None:
    await scene(progress)
    revoked = await progress.award("ann", 4)
    await progress.settled()
    reset = pb.ResetWindowRequest(
        board=types_pb2.Board(window=types_pb2.WINDOW_ALL_TIME), request_id="reset"
    )
    await progress.admin.ResetWindow(reset)
    await progress.revoke(revoked.entry_id)
    await progress.award("ann", 6)
    await verified(progress)
    assert await progress.top() == [(1, "ann", 6)]
    await damage(progress, *misfolded("ann", XP, 6, 90))
    assert (await backfill(progress)).counts.standings_corrected == 1
    assert await corrections(progress) == [("ann", "", 6)]
    await verified(progress)


async def test_the_ledger_of_someone_erased_is_mended_and_appears_on_no_board(
    progress: Progress,
) -> None:
    await scene(progress)
    await progress.admin.EraseUser(pb.EraseUserRequest(user_id="ann"))
    await verified(progress)
    await damage(progress, "UPDATE user_totals SET total = 1 WHERE user_id LIKE '~%'")
    done = await backfill(progress, credit_missing=True)
    assert [(one[1], one[3]) for one in done.updates] == [
        ("marks", 100),
        ("problems_solved", 3),
        ("xp", 80),
    ]
    assert await corrections(progress) == []
    await verified(progress)
    assert await progress.top() == [(1, "bob", 20)]
