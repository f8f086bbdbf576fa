"""Verifications and backfills as their tests call them, and the scenes that they look at."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1.catalog_pb2 import MetricReward
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, level

TOTAL, STANDING = pb.MISMATCH_KIND_TOTAL, pb.MISMATCH_KIND_STANDING
LEVEL = pb.MISMATCH_KIND_LEVEL_PROGRESS
COURSE = pb.MISMATCH_KIND_COURSE_PROGRESS
MOMENT = datetime(2026, 3, 5, 12, tzinfo=UTC)

ALL_TIME = "board_id = (SELECT board_id FROM boards WHERE board_window = 1 AND course_id = '' {})"
XP = ALL_TIME.format("AND metric = 'xp'")
MARKS = ALL_TIME.format("AND metric = 'marks'")


class Found(NamedTuple):
    """A mismatch, short: `where` is metric/course/window/period, level/figure or course/figure."""

    kind: int
    user_id: str
    where: str
    expected: int
    found: int


def short(one: pb.Mismatch) -> Found:
    board = one.board
    if one.kind == LEVEL:
        assert not one.HasField("board")
        assert one.course_id
        where = f"{one.level_id}/{one.figure}"
    elif one.kind == COURSE:
        assert not one.HasField("board")
        assert one.level_id == ""
        where = f"{one.course_id}/{one.figure}"
    else:
        assert one.level_id == one.figure == one.course_id == ""
        window = types_pb2.Window.Name(board.window).removeprefix("WINDOW_").lower()
        where = f"{board.metric}/{board.course_id}/{window}/{board.period}"
    return Found(one.kind, one.user_id, where, one.expected, one.found)


async def verify(progress: Progress) -> tuple[list[Found], types_pb2.Position]:
    """What a verification finds, and where; what every stream must hold is checked on the way."""
    found: list[Found] = []
    answers = [one async for one in progress.admin.VerifyLedger(pb.VerifyLedgerRequest())]
    checked = 0
    for answer in answers:
        assert answer.position == answers[0].position
        assert answer.users_total == answers[0].users_total
        assert answer.users_checked >= checked
        checked = answer.users_checked
        found += map(short, answer.mismatches)
    assert answers
    assert checked == answers[0].users_total
    return found, answers[0].position


async def verified(progress: Progress) -> types_pb2.Position:
    """Where a verification finds nothing, once everything is numbered."""
    await progress.settled()
    found, position = await verify(progress)
    assert found == []
    return position


class Backfilled(NamedTuple):
    """What a backfill came to; `updates`: user, metric, old and new."""

    counts: pb.BackfillTotalsResponse
    updates: list[tuple[str, str, int, int]]


async def backfill(progress: Progress, **fields: bool) -> Backfilled:
    """Runs a backfill to its end; what every stream must hold is checked on the way."""
    request = pb.BackfillTotalsRequest(**fields)
    return summed([one async for one in progress.admin.BackfillTotals(request)])


def summed(answers: Sequence[pb.BackfillTotalsResponse]) -> Backfilled:
    updates: list[tuple[str, str, int, int]] = []
    before = pb.BackfillTotalsResponse()
    for answer in answers:
        assert answer.users_checked == answer.users_updated + answer.users_unchanged
        for field in pb.BackfillTotalsResponse.DESCRIPTOR.fields:
            if field.name != "updates":
                assert getattr(answer, field.name) >= getattr(before, field.name)
        updates += [(o.user_id, o.metric, o.old_total, o.new_total) for o in answer.updates]
        before = answer
    assert before.users_checked == before.users_total
    return Backfilled(before, updates)


async def scene(progress: Progress) -> None:
    """Ann has 50 XP, 100 marks and 3 problems from l1 and 30 XP from an award, bob 20 XP.

    All at one moment; everything is numbered.
    """
    await progress.put_users("ann", "bob", "cyd")
    rewards = [MetricReward(metric="problems_solved", amount=3)]
    await progress.put_course("c", level("l1", rewards=rewards), level("l2"))
    await progress.submit("ann", "l1", occurred_time=MOMENT)
    await progress.award("ann", 30, occurred_time=MOMENT)
    await progress.award("bob", 20, occurred_time=MOMENT)
    await verified(progress)


async def damage(progress: Progress, *statements: str) -> None:
    """Runs SQL that the service would never run."""
    async with progress.sql() as sql:
        for statement in statements:
            await sql.execute(statement)


def misfolded(user_id: str, board: str, old: int, new: int) -> tuple[str, ...]:
    """SQL that leaves a standing on the board (a condition) as a fold would that was wrong."""
    where = f"user_id = '{user_id}' AND {board}"
    steps = [(score, by) for score, by in ((old, -1), (new, 1)) if score > 0]
    return (
        f"""INSERT INTO standings (user_id, board_id, score, added, hidden)
            SELECT '{user_id}', board_id, {new}, 0, false FROM boards WHERE {board}
            ON CONFLICT (user_id, board_id) DO UPDATE SET score = {new}""",
        *(
            f"""INSERT INTO board_buckets AS b (board_id, bucket, users)
                SELECT board_id, score_bucket({score}), {by} FROM boards WHERE {board}
                ON CONFLICT (board_id, bucket) DO UPDATE SET users = b.users + {by}"""
            for score, by in steps
        ),
        *([f"DELETE FROM standings WHERE {where}"] if new == 0 else []),
    )


# To `scene`; and what a backfill tells of its totals.
DAMAGE = (
    "UPDATE user_totals SET total = total + 7 WHERE user_id = 'ann' AND metric = 'xp'",
    "DELETE FROM user_totals WHERE user_id = 'ann' AND metric = 'marks'",
    "INSERT INTO user_totals VALUES ('bob', 'pomodoros', 5)",
    *misfolded("ann", XP, 80, 15),
    *misfolded("cyd", XP, 0, 4),
)
UPDATES = [
    ("ann", "marks", 0, 100),
    ("ann", "xp", 87, 80),
    ("bob", "pomodoros", 5, 0),
]
