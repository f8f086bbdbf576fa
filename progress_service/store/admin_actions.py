"""What administrators did, written in the transaction that did it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.rows import RowSet
from shared.identity import Actor

_ACTIONS = RowSet(
    "actions",
    {
        "method": "text",
        "actor": "text",
        "caller": "text",
        "user_id": "text",
        "detail": "text",
        "change_id": "bigint",
    },
)
INSERT = f"""INSERT INTO admin_actions ({_ACTIONS.names})
             SELECT {_ACTIONS.names} FROM {_ACTIONS.source} ORDER BY ordinal"""
_INSERT = text(INSERT)
# Index: the primary key, or admin_actions_user; read backwards.
_LIST = """SELECT * FROM admin_actions WHERE action_id < :before {filters}
           ORDER BY action_id DESC LIMIT :limit"""
_NEWEST = 2**63 - 1


class AdminAction(NamedTuple):
    """`method`: the RPC, package.Service/Method; `user_id` empty: it concerns no single user.
    `change_id`: of the change that the act is in the history, when a repeated call needs it.
    """

    method: str
    actor: Actor
    user_id: str
    detail: str
    change_id: int | None = None


def params_of(actions: Sequence[AdminAction]) -> dict[str, str]:
    """The parameters of `INSERT`."""
    return _ACTIONS.params(
        [(one.method, *one.actor, one.user_id, one.detail, one.change_id) for one in actions]
    )


async def record(connection: AsyncConnection, actions: Sequence[AdminAction]) -> None:
    """Adds the actions, in their order, in the caller's transaction."""
    if actions:
        await connection.execute(_INSERT, params_of(actions))


async def load_page(
    connection: AsyncConnection, user_id: str, before: int | None, limit: int
) -> Sequence[Any]:
    """Actions with ids below `before`, newest first; of one user unless `user_id` is empty."""
    params: dict[str, Any] = {"before": before or _NEWEST, "limit": limit}
    filters = ""
    if user_id:
        filters = "AND user_id = :user_id"
        params["user_id"] = user_id
    return (await connection.execute(text(_LIST.format(filters=filters)), params)).all()
