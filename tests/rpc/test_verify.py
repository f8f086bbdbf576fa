"""VerifyLedger: every figure that differs is told, with what it should be, and no other."""

from datetime import UTC, datetime

import pytest

from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.audit import MARKS, STANDING, TOTAL, XP, Found, damage, scene, verified, verify
from tests.imports import attempt, batch, import_all
from tests.progress import Progress

AT = "user_id = 'ann'"


async def test_where_nothing_was_ever_written_nothing_differs(progress: Progress) -> None:
    found, position = await verify(progress)
    assert (found, position.sequence) == ([], 0)


async def test_all_that_the_service_writes_agrees(progress: Progress) -> None:
    await scene(progress)
    moment = datetime(2025, 12, 29, 23, 59, 59, tzinfo=UTC)
    await progress.submit("ann", "l2", 3, occurred_time=moment)
    await progress.submit("ann", "l2", 8, occurred_time=moment)
    answer = await progress.award("bob", 5, metric="pomodoros", course_id="c")
    await progress.revoke(answer.entry_id)
    await progress.award("cyd", 9)
    user = catalog.User(user_id="cyd", hidden=True)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    carried = attempt("bob", "l1", 9, "carried", without_xp=True)
    await import_all(progress, [batch(carried)])
    position = await verified(progress)
    assert position == await progress.settled()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            f"UPDATE user_totals SET total = total + 7 WHERE {AT} AND metric = 'xp'",
            Found(TOTAL, "ann", "xp//all_time/", 80, 87),
        ),
        (
            f"DELETE FROM user_totals WHERE {AT} AND metric = 'marks'",
            Found(TOTAL, "ann", "marks//all_time/", 100, 0),
        ),
        (
            "INSERT INTO user_totals VALUES ('bob', 'pomodoros', 5)",
            Found(TOTAL, "bob", "pomodoros//all_time/", 0, 5),
        ),
        (
            "INSERT INTO user_totals VALUES ('nobody', 'xp', 5)",
            Found(TOTAL, "nobody", "xp//all_time/", 0, 5),
        ),
    ],
    ids=["changed", "missing", "without entries", "of nobody"],
)
async def test_a_wrong_total_is_found(progress: Progress, statement: str, expected: Found) -> None:
    await scene(progress)
    await damage(progress, statement)
    assert (await verify(progress))[0] == [expected]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            f"UPDATE standings SET score = score - 1 WHERE {AT} AND {XP}",
            Found(STANDING, "ann", "xp//all_time/", 80, 79),
        ),
        (
            f"DELETE FROM standings WHERE {AT} AND {MARKS}",
            Found(STANDING, "ann", "marks//all_time/", 100, 0),
        ),
        (
            f"""INSERT INTO standings (user_id, board_id, score, added, hidden)
                SELECT 'cyd', board_id, 4, 4, false FROM boards WHERE {XP}""",
            Found(STANDING, "cyd", "xp//all_time/", 0, 4),
        ),
        (
            f"""INSERT INTO standings (user_id, board_id, score, added, hidden)
                SELECT '~{"0" * 32}', board_id, 4, 4, false FROM boards WHERE {XP}""",
            Found(STANDING, f"~{'0' * 32}", "xp//all_time/", 0, 4),
        ),
        (
            f"""UPDATE standings SET score = 0 WHERE {AT} AND board_id =
                (SELECT board_id FROM boards WHERE period = '2026-W10' AND course_id = 'c'
                 AND metric = 'problems_solved')""",
            Found(STANDING, "ann", "problems_solved/c/week/2026-W10", 3, 0),
        ),
    ],
    ids=["changed", "missing", "extra", "of someone erased", "of a course's week"],
)
async def test_a_wrong_standing_is_found(
    progress: Progress, statement: str, expected: Found
) -> None:
    await scene(progress)
    await damage(progress, statement)
    assert (await verify(progress))[0] == [expected]


async def test_a_board_that_is_gone_is_found_on_both_sides(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, f"DELETE FROM boards WHERE {MARKS}")
    assert (await verify(progress))[0] == [
        Found(STANDING, "ann", "//all_time/", 0, 100),
        Found(STANDING, "ann", "marks//all_time/", 100, 0),
    ]


async def test_a_change_that_is_gone_is_found(progress: Progress) -> None:
    await scene(progress)
    await damage(progress, "DELETE FROM changes WHERE user_id = 'bob' AND kind = 1")
    found, _ = await verify(progress)
    assert {(one.kind, one.user_id, one.expected, one.found) for one in found} == {
        (STANDING, "bob", 0, 20)
    }
    assert [one.where for one in found] == [
        f"xp//{one}"
        for one in ("all_time/", "year/2026", "month/2026-03", "week/2026-W10", "day/2026-03-05")
    ]


async def test_a_ledger_that_adds_up_to_more_than_a_number_holds_is_told(
    progress: Progress,
) -> None:
    await scene(progress)
    await damage(
        progress,
        """INSERT INTO xp_entries (entry_id, user_id, metric, amount, total_after, source,
               reference, course_id, level_id, occurred_time, occurred_date, windows, reason, actor)
           SELECT 1000 + n, 'cyd', 'xp', 9223372036854775807, 0, 's', '', '', '', now(),
                  '2026-01-01', 0, '', '' FROM generate_series(1, 3) n""",
    )
    most = 2**63 - 1
    assert (await verify(progress))[0] == [Found(TOTAL, "cyd", "xp//all_time/", most, 0)]


async def test_what_has_no_number_yet_is_no_mismatch(progress: Progress) -> None:
    await scene(progress)
    before = await verified(progress)
    async with progress.numbering_held():
        await progress.award("ann", 1_000)
        await progress.submit("bob", "l1")
        await progress.revoke((await progress.entries("bob"))[-1].entry_id)
        assert await verify(progress) == ([], before)
    assert (await verified(progress)).sequence > before.sequence
