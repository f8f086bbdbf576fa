"""Positions in the history: where it ends, and whether a position is a point of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import FailedPrecondition, InvalidInput, invalid_field

_HEAD = text("SELECT head_sequence, head_time, epoch FROM history")
LAST_OF_TENURE = """(SELECT coalesce((SELECT n.after_sequence FROM tenures n
                                      WHERE n.tenure > t.tenure ORDER BY n.tenure LIMIT 1),
                                     (SELECT head_sequence FROM history))
                    FROM tenures t WHERE t.epoch = :epoch)"""
"""SQL: the last sequence of the tenure of this epoch; NULL: there is none."""
_LAST_OF_TENURE = text(f"SELECT {LAST_OF_TENURE}")
EPOCH_OF_CHANGE = """(SELECT t.epoch FROM tenures t WHERE t.after_sequence < c.sequence
                      ORDER BY t.after_sequence DESC, t.tenure DESC LIMIT 1)"""
"""Of a numbered `c`: the tenure that numbered it is the last one that began below it, for good.
Index: tenures_after.
"""
# Index: changes_change, pruned_changes_change.
_CHANGE = text(
    f"""SELECT c.sequence, {EPOCH_OF_CHANGE} AS epoch
        FROM numbered_changes c WHERE c.change_id = :change_id"""
)


@dataclass(frozen=True, slots=True)
class Position:
    """A point in the history; `epoch` is empty only before anything was ever numbered."""

    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest position, and when the change at it was numbered."""

    position: Position
    time: datetime


async def read_head(connection: AsyncConnection) -> Head:
    """The newest position of the transaction's snapshot."""
    row = (await connection.execute(_HEAD)).one()
    epoch = str(row.epoch) if row.epoch else ""
    return Head(Position(epoch, row.head_sequence), row.head_time)


async def find_change(connection: AsyncConnection, change_id: int) -> Position | None:
    """Where a change that was queued under this id, and is no credit, stands; None while it has no
    number.
    """
    row = (await connection.execute(_CHANGE, {"change_id": change_id})).one_or_none()
    return Position(str(row.epoch), row.sequence) if row else None


async def check_position(connection: AsyncConnection, position: Position) -> None:
    """Whether `position` is a point of this history.

    Raises InvalidInput (INVALID_FIELD) for a malformed one, FailedPrecondition
    (EPOCH_MISMATCH) when its tenure is unknown or ended before it.
    """
    if position.sequence < 0:
        raise invalid_field("after.sequence", "must not be negative")
    if not position.epoch:
        if position.sequence:
            raise invalid_field("after.epoch", "must be set unless sequence is 0")
        return
    try:
        epoch = UUID(position.epoch)
    except ValueError:
        raise _malformed_epoch() from None
    last = (await connection.execute(_LAST_OF_TENURE, {"epoch": epoch})).scalar_one()
    if last is None or position.sequence > last:
        raise FailedPrecondition(
            "EPOCH_MISMATCH",
            "The position is not of this history: take a snapshot and resume from its position.",
            metadata={"epoch": position.epoch, "sequence": str(position.sequence)},
        )


def _malformed_epoch() -> InvalidInput:
    return invalid_field("after.epoch", "must be an epoch that this service sent")
