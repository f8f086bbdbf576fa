"""Cancelling a ledger entry by another entry, at most once."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.ledger import Credit, Moment
from progress_service.domain.request import RequestKind, fingerprint, same_request
from progress_service.store import learner_read
from progress_service.store.learner_read import Ask
from progress_service.store.ledger_write import Batch, EntryIds
from progress_service.store.outcomes import Credited, Recorded
from shared.errors import FailedPrecondition, NotFound

_ENTRY = text("SELECT * FROM xp_entries WHERE entry_id = :entry_id")
_REVOKED_BY = text("SELECT entry_id FROM xp_entries WHERE revokes_entry_id = :entry_id")


@dataclass(frozen=True, slots=True)
class Revocation:
    """A request to cancel an entry."""

    entry_id: int
    reason: str
    request_id: str
    actor: str = ""

    def fingerprint(self) -> bytes:
        """Stands for the contents: all fields but the request id."""
        return fingerprint(self.entry_id, self.reason)


async def revoke(connection: AsyncConnection, revocation: Revocation) -> Recorded:
    """Writes the cancelling entry, total and change; answers `entry_id` and `total`.

    The entry counts in the windows of the one that it cancels. Raises NotFound
    (ENTRY_NOT_FOUND), FailedPrecondition (ENTRY_ALREADY_REVOKED, ENTRY_IS_REVOCATION),
    Conflict (REQUEST_ID_REUSED).
    """
    key = {"entry_id": revocation.entry_id}
    entry = (await connection.execute(_ENTRY, key)).one_or_none()
    if entry is None:
        raise NotFound(
            "ENTRY_NOT_FOUND", "No such entry.", metadata={"entry_id": str(revocation.entry_id)}
        )
    await learner_read.lock_users(connection, [entry.user_id])
    ask = Ask(user_id=entry.user_id, request_id=revocation.request_id)
    found = (await learner_read.read_states(connection, [ask]))[0]
    if found.answered is not None:
        earlier = same_request(
            found.answered,
            RequestKind.REVOCATION,
            revocation.fingerprint(),
            revocation.request_id,
        )
        return Recorded(earlier, replayed=True)
    await _check_revocable(connection, entry)
    ids = (await learner_read.read_catalog(connection, attempts=0, entries=1)).entry_ids
    credit = _cancelling(entry, found.totals.get(entry.metric, 0))
    answer = {"entry_id": str(ids[0]), "total": credit.total_after}
    batch = Batch()
    batch.add_entry(
        entry.user_id,
        credit,
        Moment(entry.occurred_time, entry.occurred_date),
        EntryIds(
            ids[0],
            entry.windows,
            revokes_entry_id=entry.entry_id,
            reason=revocation.reason,
            actor=revocation.actor,
        ),
    )
    batch.add_key(
        entry.user_id,
        revocation.request_id,
        RequestKind.REVOCATION,
        revocation.fingerprint(),
        answer,
    )
    await batch.write(connection)
    credited = Credited(entry.user_id, ids[0], credit, revocation.request_id)
    return Recorded(answer, replayed=False, credited=(credited,))


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


def _cancelling(entry: Any, total_before: int) -> Credit:
    return Credit(
        metric=entry.metric,
        amount=-entry.amount,
        source=entry.source,
        total_before=total_before,
        reference=entry.reference,
        course_id=entry.course_id,
        level_id=entry.level_id,
    )
