"""Granting streak freezes, once for each request."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.bounds import MAX_FREEZES
from progress_service.domain.request import RequestKind, fingerprint
from progress_service.domain.streak import FreezeGrant, civil_day, streak_of, with_grant
from progress_service.store import admin_actions, amnesty, learner_read
from progress_service.store.admin_actions import AdminAction
from progress_service.store.learner_read import Learner
from progress_service.store.ledger_write import Batch
from progress_service.store.not_found import user_not_found
from progress_service.store.zones import zone_of
from shared.errors import FailedPrecondition
from shared.identity import NOBODY, Actor

_METHOD = "laurel.progress.v1.ProgressService/GrantStreakFreezes"

_GRANT = text(
    """UPDATE users SET freeze_grants = CAST(:grants AS jsonb), update_time = now()
       WHERE user_id = :user_id"""
)


@dataclass(frozen=True, slots=True)
class Freezes:
    """A request to grant a user so many days."""

    user_id: str
    days: int
    request_id: str
    actor: Actor = NOBODY

    kind = RequestKind.FREEZES

    def fingerprint(self) -> bytes:
        """Stands for the contents: all fields but the request id and the actor."""
        return fingerprint(self.user_id, self.days)


async def grant(
    connection: AsyncConnection, freezes: Freezes, now: datetime, deployment: ZoneInfo
) -> int:
    """The freezes that the user has then; a request that was answered before grants no more.

    Raises NotFound (USER_NOT_FOUND), Conflict (REQUEST_ID_REUSED), FailedPrecondition
    (TOO_MANY_STREAK_FREEZES).
    """
    user_id = freezes.user_id
    learner, found = await learner_read.lock_user(connection, user_id, freezes.request_id)
    if learner is None:
        raise user_not_found(user_id)
    earlier = found.earlier_answer(freezes)
    if earlier is not None:
        return int(earlier["streak_freezes"])
    today = civil_day(now, zone_of(learner.time_zone, deployment))
    grants = with_grant(learner.grants, FreezeGrant(today, freezes.days))
    amnesty_days = await amnesty.load_runs(connection)
    held = streak_of(learner.runs, amnesty_days, grants, today).freezes
    if held > MAX_FREEZES:
        raise FailedPrecondition(
            "TOO_MANY_STREAK_FREEZES",
            f"The user would have more than {MAX_FREEZES} freezes.",
            metadata={"user_id": user_id, "streak_freezes": str(held)},
        )
    await _write(connection, freezes, learner._replace(grants=grants), held)
    return held


async def _write(
    connection: AsyncConnection, freezes: Freezes, learner: Learner, held: int
) -> None:
    document = orjson.dumps([(one.day.isoformat(), one.days) for one in learner.grants])
    params = {"user_id": learner.user_id, "grants": document.decode()}
    await connection.execute(_GRANT, params)
    batch = Batch()
    answer = {"streak_freezes": held}
    key = (learner.user_id, freezes.request_id, freezes.kind)
    batch.add_key(*key, freezes.fingerprint(), answer)
    await batch.write(connection)
    action = AdminAction(_METHOD, freezes.actor, learner.user_id, f"{freezes.days} days")
    await admin_actions.record(connection, [action])
