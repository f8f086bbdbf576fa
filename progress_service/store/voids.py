"""Withdrawing an attempt, with everything that followed from it, in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain import bounds
from progress_service.domain.correction import Correction
from progress_service.domain.evaluation import LevelStatus
from progress_service.domain.ledger import LEVEL_SOURCE, MARKS, XP, Credit, Moment
from progress_service.domain.streak import civil_day
from progress_service.domain.submission import LevelState
from progress_service.domain.withdrawal import Attempt, Fate, Paid, Withdrawal, withdraw
from progress_service.store import active_days, learner_read
from progress_service.store.admin_actions import AdminAction
from progress_service.store.learner_read import Catalog, Found
from progress_service.store.ledger_write import Batch, EntryIds
from progress_service.store.level_rows import LevelRows
from progress_service.store.not_found import attempt_not_found
from progress_service.store.outcomes import Credited, Recorded, add_mark
from progress_service.store.revocations import Cancelling, cancel, origin
from shared.errors import FailedPrecondition

_METHOD = "laurel.progress.v1.ProgressService/VoidAttempt"

_ATTEMPT = text(
    "SELECT user_id, course_id, level_id, voided FROM attempts WHERE attempt_id = :attempt_id"
)
VOID = text(
    """UPDATE attempts SET voided = true, under_review = false, reason = :reason
       WHERE attempt_id = :attempt_id"""
)
# In the order of arrival: ids are drawn while the user's row is held. Index: attempts_user.
_REMAINING = text(
    """SELECT attempt_id, correct_answers, total_questions, marks, time_spent_ms, passed,
              occurred_time
       FROM attempts WHERE user_id = :user_id AND level_id = :level_id AND NOT voided
         AND NOT under_review
       ORDER BY coalesce(arrival, attempt_id)"""
)
# Cost: a pass over the user's ledger (xp_entries_user); an index by level would cost every
# submission more than it saves the few withdrawals.
_PAID = text(
    f"""SELECT e.*, c.entry_id AS cancelled_by, c.attempt_id AS withdrawn_attempt_id,
              coalesce(a.marks, e.amount) AS top
       FROM xp_entries e
       LEFT JOIN xp_entries c ON c.revokes_entry_id = e.entry_id
       LEFT JOIN attempts a ON a.attempt_id = e.attempt_id
       WHERE e.user_id = :user_id AND e.level_id = :level_id AND e.source = '{LEVEL_SOURCE}'
         AND e.revokes_entry_id IS NULL
       ORDER BY e.entry_id"""
)
# As an edit of the course does with the attempts that complete a level by it.
_PASS = text(
    """UPDATE attempts SET passed = true
       WHERE attempt_id = ANY(CAST(:ids AS bigint[])) AND NOT passed"""
)
_OPEN_REWARD = text("DELETE FROM level_rewards WHERE user_id = :user_id AND level_id = :level_id")


@dataclass(frozen=True, slots=True)
class _Void:
    """An attempt that is being withdrawn; the row of its user is held."""

    correction: Correction
    attempt: Any
    found: Found
    deployment: ZoneInfo

    @property
    def key(self) -> dict[str, str]:
        """The user and the level."""
        return {"user_id": self.attempt.user_id, "level_id": self.attempt.level_id}


async def void(
    connection: AsyncConnection, correction: Correction, deployment: ZoneInfo
) -> Recorded:
    """Withdraws the attempt; answers the `level` as it is then, and `total_xp`.

    Raises NotFound (ATTEMPT_NOT_FOUND), FailedPrecondition (ATTEMPT_ALREADY_VOIDED), Conflict
    (REQUEST_ID_REUSED).
    """
    user_id = (await _attempt(connection, correction.target_id)).user_id
    _, found = await learner_read.lock_user(connection, user_id, correction.request_id)
    # Again: until now the user could be erased, or the attempt be withdrawn.
    attempt = await _attempt(connection, correction.target_id)
    earlier = found.earlier_answer(correction)
    if earlier is not None:
        return Recorded(earlier, replayed=True)
    if attempt.voided:
        raise FailedPrecondition(
            "ATTEMPT_ALREADY_VOIDED",
            "The attempt was withdrawn before.",
            metadata={"attempt_id": str(correction.target_id)},
        )
    recorded = await _withdraw(connection, _Void(correction, attempt, found, deployment))
    await active_days.recompute(connection, [user_id], deployment)
    return recorded


async def _attempt(connection: AsyncConnection, attempt_id: int) -> Any:
    attempt = (await connection.execute(_ATTEMPT, {"attempt_id": attempt_id})).one_or_none()
    if attempt is None or not bounds.is_id(attempt.user_id):
        raise attempt_not_found(attempt_id)
    return attempt


async def _withdraw(connection: AsyncConnection, void_: _Void) -> Recorded:
    correction, attempt = void_.correction, void_.attempt
    # Before: what an edit completed by this attempt was completed until now.
    rows = await LevelRows.read(connection, attempt.user_id, attempt.course_id)
    await connection.execute(
        VOID, {"attempt_id": correction.target_id, "reason": correction.reason}
    )
    remaining = [Attempt(*row) for row in await connection.execute(_REMAINING, void_.key)]
    entries = {row.entry_id: row for row in await connection.execute(_PAID, void_.key)}
    result = withdraw(
        rows.course.levels.get(attempt.level_id),
        remaining,
        [_paid(row) for row in entries.values()],
    )
    await rows.replace(connection, attempt.level_id, result.level)
    if result.passes_now:
        await connection.execute(_PASS, {"ids": [*result.passes_now]})
    if result.reward_open:
        await connection.execute(_OPEN_REWARD, void_.key)
    batch = Batch()
    count = len(result.cancelled) + (result.replaced is not None)
    catalog = await learner_read.read_catalog(connection, attempts=0, entries=count)
    credited = _correct_ledger(void_, result, entries, catalog, batch)
    earned = sum(one.credit.amount for one in credited if one.credit.metric == XP)
    answer = {
        "level": _level_answer(attempt.level_id, rows.status(attempt.level_id), result.level),
        "total_xp": void_.found.totals.get(XP, 0) + earned,
    }
    add_mark(answer, credited, catalog.time)
    print_ = correction.fingerprint()
    batch.add_key(attempt.user_id, correction.request_id, correction.kind, print_, answer)
    detail = f"attempt {correction.target_id} at {attempt.level_id}: {correction.reason}"
    batch.actions.append(AdminAction(_METHOD, correction.actor, attempt.user_id, detail))
    await batch.write(connection)
    return Recorded(answer, replayed=False, credited=tuple(credited))


def _correct_ledger(
    void_: _Void, result: Withdrawal, entries: Mapping[int, Any], catalog: Catalog, batch: Batch
) -> list[Credited]:
    """Adds the entries that the withdrawal makes, in the order given back."""
    ids = iter(catalog.entry_ids)
    totals = dict(void_.found.totals)
    credited: list[Credited] = []
    by = Cancelling(void_.correction, void_.correction.target_id)
    for paid in result.cancelled:
        one = cancel(batch, entries[paid.entry_id], next(ids), totals.get(paid.metric, 0), by)
        totals[paid.metric] = one.credit.total_after
        credited.append(one)
    if result.best is not None and result.replaced is not None:
        credit = Credit(
            metric=MARKS,
            amount=result.marks_again,
            source=LEVEL_SOURCE,
            total_before=totals.get(MARKS, 0),
            course_id=void_.attempt.course_id,
            level_id=void_.attempt.level_id,
        )
        entry = EntryIds(
            next(ids),
            catalog.windows[MARKS],
            attempt_id=result.best.attempt_id,
            of_entry_id=origin(entries[result.replaced.entry_id]),
            actor=void_.correction.actor.name,
        )
        moment = Moment(result.best.time, civil_day(result.best.time, void_.deployment))
        user_id = void_.attempt.user_id
        batch.add_entry(user_id, credit, moment, entry)
        credited.append(Credited(user_id, entry.entry_id, credit, void_.correction.request_id))
    return credited


def _paid(row: Any) -> Paid:
    fate = Fate.COUNTS
    if row.cancelled_by is not None:
        fate = Fate.REVOKED if row.withdrawn_attempt_id is None else Fate.WITHDRAWN
    return Paid(row.entry_id, row.metric, row.amount, fate, row.top)


def _level_answer(level_id: str, status: LevelStatus, state: LevelState) -> dict[str, Any]:
    """What is stored of the answer, so that a replay repeats it."""
    return {
        "level_id": level_id,
        "status": int(status),
        "best_marks": state.best_marks,
        "attempts": state.attempts,
        "time_spent_ms": state.time_spent_ms,
        "complete_time": state.complete_time and state.complete_time.isoformat(),
        "xp_earned": state.xp_earned,
    }
