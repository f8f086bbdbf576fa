"""What administrators did, written in the transaction that did it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store.rows import RowSet

ACTIONS = RowSet(
    "actions", {"method": "text", "actor": "text", "user_id": "text", "detail": "text"}
)
INSERT = f"""INSERT INTO admin_actions ({ACTIONS.names})
             SELECT {ACTIONS.names} FROM {ACTIONS.source} ORDER BY ordinal"""
_INSERT = text(INSERT)
# Index: the primary key, or admin_actions_user; read backwards.
_LIST = """SELECT * FROM admin_actions WHERE action_id < :before {filters}
           ORDER BY action_id DESC LIMIT :limit"""
_NEWEST = 2**63 - 1


class AdminAction(NamedTuple):
    """`method`: the RPC, package.Service/Method; `user_id` empty: it concerns no single user."""

    method: str
    actor: str
    user_id: str
    detail: str


async def record(connection: AsyncConnection, actions: Sequence[AdminAction]) -> None:
    """Adds the actions, in their order, in the caller's transaction."""
    if actions:
        await connection.execute(_INSERT, ACTIONS.params(actions))


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
