"""Request ids of calls that concern no single user: the first call's answer is given again."""

from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.request import Answered, RequestKind, same_request

# Of two at once the later one waits here for the first to commit.
_CLAIM = text(
    """INSERT INTO admin_requests (request_id, kind, fingerprint, answer)
       VALUES (:request_id, :kind, :fingerprint, '{}')
       ON CONFLICT (request_id) DO NOTHING"""
)
_EARLIER = text(
    """SELECT kind, fingerprint, answer::text AS answer FROM admin_requests
       WHERE request_id = :request_id"""
)
_SETTLE = text(
    """UPDATE admin_requests SET answer = CAST(CAST(:answer AS text) AS jsonb)
       WHERE request_id = :request_id"""
)


async def claim(
    connection: AsyncConnection, request_id: str, kind: RequestKind, fingerprint: bytes
) -> dict[str, Any] | None:
    """None: the id is this transaction's, which must `settle` it. Otherwise the first answer.

    Raises Conflict (REQUEST_ID_REUSED) when it was used with other contents.
    """
    key = {"request_id": request_id}
    params = {**key, "kind": int(kind), "fingerprint": fingerprint}
    if (await connection.execute(_CLAIM, params)).rowcount:
        return None
    row = (await connection.execute(_EARLIER, key)).one()
    earlier = Answered(RequestKind(row.kind), bytes(row.fingerprint), orjson.loads(row.answer))
    return same_request(earlier, kind, fingerprint, request_id)


async def settle(connection: AsyncConnection, request_id: str, answer: dict[str, Any]) -> None:
    """Stores the answer of a request that this transaction has claimed."""
    params = {"request_id": request_id, "answer": orjson.dumps(answer).decode()}
    await connection.execute(_SETTLE, params)
