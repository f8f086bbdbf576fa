"""Starting a board again from zero."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.request import RequestKind
from progress_service.store import admin_actions, admin_requests
from progress_service.store.admin_actions import AdminAction
from progress_service.store.ledger_write import WINDOW_RESET
from progress_service.store.not_found import course_not_found, metric_not_found
from progress_service.store.standings import BoardKey
from shared.identity import NOBODY, Actor

METHOD = "laurel.progress.v1.ProgressAdminService/ResetWindow"

_LOCK_KEY = 0x4C61_7572_656C_0003
_KEEP_OUT = text("SELECT pg_advisory_xact_lock_shared(:key)")
_ENTER = text("SELECT pg_advisory_xact_lock(:key)")
# Metrics and courses are never deleted.
_KNOWN = text(
    """SELECT EXISTS (SELECT FROM metrics WHERE metric = :metric) AS metric,
              :course_id = '' OR EXISTS (SELECT FROM courses WHERE course_id = :course_id)
                  AS course"""
)
_QUEUE = text(
    f"""INSERT INTO unnumbered_changes (kind, user_id, metric, course_id, board_window, period)
        VALUES ({WINDOW_RESET}, '', :metric, :course_id, :window, :period)
        RETURNING change_id"""
)


@dataclass(frozen=True, slots=True)
class Reset:
    """A request to start a board's period again. `fingerprint` is of the board as it was asked
    for: an empty period means another one tomorrow, and the request is still the same.
    """

    board: BoardKey
    request_id: str
    fingerprint: bytes
    actor: Actor = NOBODY


async def reset(connection: AsyncConnection, request: Reset) -> int:
    """Queues the reset, once for each request id; its change_id.

    It counts where it is numbered: what was numbered before counts no more on the board.
    The metric need not keep the window any more.
    Raises Conflict (REQUEST_ID_REUSED), NotFound (METRIC_NOT_FOUND, COURSE_NOT_FOUND).
    """
    await connection.execute(_ENTER, {"key": _LOCK_KEY})
    earlier = await admin_requests.claim(
        connection, request.request_id, RequestKind.RESET, request.fingerprint
    )
    if earlier is not None:
        return int(earlier["change_id"])
    board = request.board
    await _check(connection, board)
    params = {
        "metric": board.metric,
        "course_id": board.course_id,
        "window": int(board.window),
        "period": board.period,
    }
    change_id = int((await connection.execute(_QUEUE, params)).scalar_one())
    await admin_requests.settle(connection, request.request_id, {"change_id": change_id})
    await admin_actions.record(connection, [AdminAction(METHOD, request.actor, "", board.name)])
    return change_id


async def _check(connection: AsyncConnection, board: BoardKey) -> None:
    params = {"metric": board.metric, "course_id": board.course_id}
    known = (await connection.execute(_KNOWN, params)).one()
    if not known.metric:
        raise metric_not_found(board.metric)
    if not known.course:
        raise course_not_found(board.course_id)


async def keep_out(connection: AsyncConnection) -> None:
    """From here until the transaction ends no reset is queued: whatever it queues itself comes
    after the resets that it sees, and before all others.
    """
    await connection.execute(_KEEP_OUT, {"key": _LOCK_KEY})
