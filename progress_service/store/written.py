"""Where a write that was answered stands in the history."""

from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.user import PSEUDONYM_MARK, User
from progress_service.domain.write_mark import Kind, WriteMark, entry_mark, profile_mark
from progress_service.store.ledger_write import PROFILE_CHANGE, REDACTION
from progress_service.store.positions import EPOCH_OF_CHANGE, Head, Position, read_head
from shared.errors import FailedPrecondition

# `gone`: of an erased user. Index: the ledger's primary key, changes_entry, pruned_changes_entry.
_ENTRY = text(
    f"""SELECT e.metric, e.amount, e.create_time, e.user_id >= '{PSEUDONYM_MARK}' AS gone,
               c.sequence, {EPOCH_OF_CHANGE} AS epoch
        FROM xp_entries e LEFT JOIN numbered_changes c ON c.entry_id = e.entry_id
        WHERE e.entry_id = :id"""
)
# It is in one of the three. `gone`: redacted, or pruned, and redacted before for all one knows.
# Index: changes_change, the queue's primary key, pruned_changes_change.
_PROFILE = text(
    f"""SELECT c.kind, c.kind = {REDACTION} AS gone, c.entry_id, c.user_id, c.display_name,
               c.avatar_url, c.hidden, c.sequence, {EPOCH_OF_CHANGE} AS epoch
        FROM changes c WHERE c.change_id = :id
        UNION ALL
        SELECT kind, false, entry_id, user_id, display_name, avatar_url, hidden, NULL, NULL
        FROM unnumbered_changes WHERE change_id = :id
        UNION ALL
        SELECT NULL, true, c.entry_id, NULL, NULL, NULL, NULL, c.sequence, {EPOCH_OF_CHANGE}
        FROM pruned_changes c WHERE c.change_id = :id"""
)


class Place(NamedTuple):
    """A board that has reached `position` includes the write; `head`: of the same snapshot."""

    position: Position
    head: Head


async def find(connection: AsyncConnection, mark: WriteMark) -> Place | None:
    """The place of the marked write; None while it has no number.

    The head, for what is gone: a board before the erasure would be missing it, and have the user
    still. Raises FailedPrecondition (EPOCH_MISMATCH) when what stands under the
    mark's id is something else, or nothing: the database was restored to a time before it.
    """
    statement = _ENTRY if mark.kind == Kind.ENTRY else _PROFILE
    row = (await connection.execute(statement, {"id": mark.id})).one_or_none()
    if row is None or not _is_marked(row, mark):
        raise FailedPrecondition("EPOCH_MISMATCH", "The write is not of this history.")
    if row.sequence is None:
        return None
    head = await read_head(connection)
    if row.gone:
        return Place(head.position, head)
    return Place(Position(str(row.epoch), row.sequence), head)


def _is_marked(row: Any, mark: WriteMark) -> bool:
    if mark.kind == Kind.ENTRY:
        return mark == entry_mark(mark.id, row.metric, row.amount, row.create_time)
    if row.gone:
        # Nothing of a profile is left to compare with (what that costs: ADR 12). Of an entry, its
        # id is.
        return row.entry_id is None
    user = User(row.user_id, row.display_name, row.avatar_url, hidden=row.hidden)
    return row.kind == PROFILE_CHANGE and mark == profile_mark(mark.id, user)
