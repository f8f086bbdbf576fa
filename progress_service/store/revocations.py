"""Cancelling a ledger entry by another entry, at most once."""

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain import bounds
from progress_service.domain.correction import Correction
from progress_service.domain.ledger import LEVEL_SOURCE, XP, Credit, Moment
from progress_service.store import active_days, learner_read
from progress_service.store.admin_actions import AdminAction
from progress_service.store.ledger_write import Batch, EntryIds
from progress_service.store.outcomes import Credited, Recorded, add_mark
from shared.errors import FailedPrecondition, NotFound

_METHOD = "laurel.progress.v1.ProgressService/RevokeXp"

_ENTRY = text("SELECT * FROM xp_entries WHERE entry_id = :entry_id")
_REVOKED_BY = text("SELECT entry_id FROM xp_entries WHERE revokes_entry_id = :entry_id")
# The level stays completed: only what it paid is less.
_LESS_XP = text(
    """UPDATE level_progress SET xp_earned = greatest(0, xp_earned - :amount)
       WHERE user_id = :user_id AND course_id = :course_id AND level_id = :level_id"""
)


class Cancelling(NamedTuple):
    """Who cancels an entry and why; `attempt_id`: the attempt whose withdrawal does."""

    correction: Correction
    attempt_id: int | None = None


async def revoke(
    connection: AsyncConnection, correction: Correction, deployment: ZoneInfo
) -> Recorded:
    """Writes the cancelling entry, total and change; answers `entry_id` and `total`.

    The entry counts in the windows of the one that it cancels. A day that only a cancelled
    award made active is so no more. Raises NotFound (ENTRY_NOT_FOUND), FailedPrecondition
    (ENTRY_ALREADY_REVOKED, ENTRY_IS_REVOCATION), Conflict (REQUEST_ID_REUSED).
    """
    user_id = (await _entry(connection, correction.target_id)).user_id
    _, found = await learner_read.lock_user(connection, user_id, correction.request_id)
    # Again: until now the user could be erased, and the entry go by a pseudonym.
    entry = await _entry(connection, correction.target_id)
    earlier = found.earlier_answer(correction)
    if earlier is not None:
        return Recorded(earlier, replayed=True)
    await _check_revocable(connection, entry)
    batch = Batch()
    catalog = await learner_read.read_catalog(connection, attempts=0, entries=1)
    entry_id = catalog.entry_ids[0]
    total = found.totals.get(entry.metric, 0)
    credited = cancel(batch, entry, entry_id, total, Cancelling(correction))
    answer = {"entry_id": str(entry_id), "total": credited.credit.total_after}
    add_mark(answer, [credited], catalog.time)
    batch.add_key(user_id, correction.request_id, correction.kind, correction.fingerprint(), answer)
    detail = f"entry {entry.entry_id}, {-entry.amount:+} {entry.metric}: {correction.reason}"
    batch.actions.append(AdminAction(_METHOD, correction.actor, user_id, detail))
    await batch.write(connection)
    await _follow(connection, entry, deployment)
    return Recorded(answer, replayed=False, credited=(credited,))


def cancel(batch: Batch, entry: Any, entry_id: int, total_before: int, by: Cancelling) -> Credited:
    """Adds the entry that cancels `entry`, a row of the ledger, where that one counted."""
    correction = by.correction
    credit = Credit(
        metric=entry.metric,
        amount=-entry.amount,
        source=entry.source,
        total_before=total_before,
        reference=entry.reference,
        course_id=entry.course_id,
        level_id=entry.level_id,
    )
    ids = EntryIds(
        entry_id,
        entry.windows,
        attempt_id=by.attempt_id,
        revokes_entry_id=entry.entry_id,
        of_entry_id=origin(entry),
        reason=correction.reason,
        actor=correction.actor.name,
    )
    moment = Moment(entry.occurred_time, entry.occurred_date)
    batch.add_entry(entry.user_id, credit, moment, ids)
    return Credited(entry.user_id, entry_id, credit, correction.request_id)


def origin(entry: Any) -> int:
    """The entry on whose boards `entry`, what cancels it and what replaces it count: a replacement
    counts where the first one that it replaces does.
    """
    return int(entry.of_entry_id or entry.entry_id)


async def _entry(connection: AsyncConnection, entry_id: int) -> Any:
    entry = (await connection.execute(_ENTRY, {"entry_id": entry_id})).one_or_none()
    if entry is None or not bounds.is_id(entry.user_id):
        raise NotFound("ENTRY_NOT_FOUND", "No such entry.", metadata={"entry_id": str(entry_id)})
    return entry


async def _check_revocable(connection: AsyncConnection, entry: Any) -> None:
    metadata = {"entry_id": str(entry.entry_id)}
    if entry.revokes_entry_id is not None:
        raise FailedPrecondition(
            "ENTRY_IS_REVOCATION", "The entry cancels another one.", metadata=metadata
        )
    earlier = (
        await connection.execute(_REVOKED_BY, {"entry_id": entry.entry_id})
    ).scalar_one_or_none()
    if earlier is not None:
        raise FailedPrecondition(
            "ENTRY_ALREADY_REVOKED",
            "The entry was cancelled before.",
            metadata={**metadata, "revoked_by_entry_id": str(earlier)},
        )


async def _follow(connection: AsyncConnection, entry: Any, deployment: ZoneInfo) -> None:
    """What hangs on a cancelled entry, beside totals and boards."""
    if entry.source != LEVEL_SOURCE:
        await active_days.recompute(connection, [entry.user_id], deployment)
    elif entry.metric == XP:
        params = {
            "user_id": entry.user_id,
            "course_id": entry.course_id,
            "level_id": entry.level_id,
            "amount": entry.amount,
        }
        await connection.execute(_LESS_XP, params)
