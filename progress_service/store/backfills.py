"""Mending totals and standings that differ from the ledger.

Who seems to need it is found without holding anyone; then those users are locked, looked at
again, and mended. A total is set; a standing is set by a change of the history, so that
whatever folds the history is mended with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.bounds import MAX_SCORE
from progress_service.domain.user import PSEUDONYM_MARK
from progress_service.store import admin_actions, audit, learner_read, resets
from progress_service.store.admin_actions import AdminAction
from progress_service.store.ledger_write import STANDING_CORRECTION
from progress_service.store.mismatches import Mismatch, WrongStanding
from progress_service.store.outcomes import Credited
from progress_service.store.rows import RowSet
from progress_service.store.unpaid import Unpaid, UnpaidCompletions
from progress_service.store.user_ranges import Users
from shared.identity import Actor

METHOD = "laurel.progress.v1.ProgressAdminService/BackfillTotals"

log = structlog.get_logger(__name__)

_MAX_DETAIL = 2_000
"""Of an administrator's action: a user may have very many standings."""

_NAMES = text("SELECT user_id, display_name FROM users WHERE user_id = ANY(CAST(:ids AS text[]))")
_TOTALS = RowSet("totals", {"user_id": "id", "metric": "id", "total": "bigint"})
_SET_TOTALS = text(
    f"""INSERT INTO user_totals ({_TOTALS.names}) SELECT {_TOTALS.names} FROM {_TOTALS.source}
        ON CONFLICT (user_id, metric) DO UPDATE SET total = EXCLUDED.total"""
)
_CORRECTIONS = RowSet(
    "corrections",
    {
        "user_id": "id",
        "metric": "id",
        "course_id": "id",
        "board_window": "smallint",
        "period": "text",
        "amount": "bigint",
    },
)
_QUEUE_CORRECTIONS = text(
    f"""WITH queued AS (
            INSERT INTO unnumbered_changes (kind, {_CORRECTIONS.names})
            SELECT {STANDING_CORRECTION}, {_CORRECTIONS.names} FROM {_CORRECTIONS.source}
            ORDER BY ordinal RETURNING change_id
        )
        SELECT max(change_id) FROM queued"""
)


@dataclass(frozen=True, slots=True)
class TotalUpdate:
    """A total that differed from the ledger."""

    user_id: str
    display_name: str
    metric: str
    old_total: int
    new_total: int


@dataclass(frozen=True, slots=True)
class Repair:
    """What is wrong with some users; nothing of those `awaited`, who have a wrong standing on a
    board that is about to be reset: they are to be looked at again when it is.
    """

    updates: tuple[TotalUpdate, ...]
    standings: tuple[WrongStanding, ...]
    unpaid: tuple[Unpaid, ...]
    awaited: frozenset[str]

    @property
    def user_ids(self) -> list[str]:
        """Who needs mending, sorted."""
        return sorted({*_users_of(self), *self.awaited})


@dataclass(slots=True)
class Mended:
    """What was done to some users; `busy` have not been looked at: others hold them.
    `change_id`: of the last correction, 0 when there is none.
    """

    repair: Repair
    credited: list[Credited] = field(default_factory=list)
    busy: frozenset[str] = frozenset()
    change_id: int = 0

    @property
    def completions(self) -> int:
        """How many completions were paid."""
        return len({(one.user_id, one.credit.level_id) for one in self.credited})


async def find(
    connection: AsyncConnection, users: Users, unpaid: UnpaidCompletions | None
) -> Repair:
    """What is wrong with those of the users who exist; completions too unless `unpaid` is None.

    In a transaction that is `audit.prepare`d.
    """
    totals: list[Mismatch] = []
    standings: list[WrongStanding] = []
    await audit.compare_totals(connection, users, totals.append)
    await audit.compare_standings(connection, users, standings.append)
    completions = await unpaid.find(connection, users) if unpaid else []
    ids = {one.user_id for one in totals} | {one.mismatch.user_id for one in standings}
    rows = await connection.execute(_NAMES, {"ids": sorted(ids)}) if ids else ()
    awaited = frozenset(one.mismatch.user_id for one in standings if one.being_reset)
    names = {row.user_id: row.display_name for row in rows if row.user_id not in awaited}
    return Repair(
        updates=tuple(
            TotalUpdate(one.user_id, names[one.user_id], one.metric, one.found, one.expected)
            for one in totals
            if one.user_id in names and _is_score(one, one.expected)
        ),
        standings=tuple(one for one in standings if _is_mendable(one, names)),
        unpaid=tuple(one for one in completions if one.user_id not in awaited),
        awaited=awaited,
    )


def _is_mendable(one: WrongStanding, names: dict[str, str]) -> bool:
    """Nothing about an erased person may enter the history, nor about one who never was; and
    what another backfill has queued is on its way.
    """
    user_id = one.mismatch.user_id
    return (
        user_id in names
        and not one.being_corrected
        and not user_id.startswith(PSEUDONYM_MARK)
        and _is_score(one.mismatch, one.score)
    )


def _is_score(mismatch: Mismatch, value: int) -> bool:
    if 0 <= value <= MAX_SCORE:
        return True
    log.error("the ledger adds up to no score", value=value, **mismatch._asdict())
    return False


async def mend(
    connection: AsyncConnection,
    user_ids: Sequence[str],
    unpaid: UnpaidCompletions | None,
    actor: Actor,
    *,
    wait: bool,
) -> Mended:
    """Locks these users, looks at them and mends what is wrong, in the caller's transaction.

    Totals are set before anything is paid, for entries say what the total was. A correction is
    queued after all that the user has queued, and holds what all of it adds up to; no reset is
    queued meanwhile. With `wait` it waits for users that others hold, Unavailable (ROW_BUSY)
    after 2 s; without, it leaves them out. Users who are gone have nothing to be mended.
    """
    await resets.keep_out(connection)
    lock = learner_read.lock_users if wait else learner_read.lock_free_users
    locked = await lock(connection, user_ids)
    others = [one for one in user_ids if one not in locked]
    busy = await learner_read.read_users(connection, others) if others and not wait else {}
    await audit.prepare(connection)
    mended = Mended(await find(connection, sorted(locked), unpaid), busy=frozenset(busy))
    repair = mended.repair
    if repair.updates:
        rows = [(one.user_id, one.metric, one.new_total) for one in repair.updates]
        await connection.execute(_SET_TOTALS, _TOTALS.params(rows))
    if repair.standings:
        params = _CORRECTIONS.params([_correction(one) for one in repair.standings])
        mended.change_id = (await connection.execute(_QUEUE_CORRECTIONS, params)).scalar_one()
    if unpaid:
        mended.credited = await unpaid.pay(connection, repair.unpaid, actor.name)
    await admin_actions.record(connection, [*_actions(mended, actor)])
    return mended


def _correction(one: WrongStanding) -> tuple[str, str, str, int, str, int]:
    about = one.mismatch
    board = (about.metric, about.course_id, about.window, about.period)
    return (about.user_id, *board, one.score)


def _users_of(repair: Repair) -> Iterator[str]:
    yield from (one.user_id for one in repair.updates)
    yield from (one.mismatch.user_id for one in repair.standings)
    yield from (one.user_id for one in repair.unpaid)


def _actions(mended: Mended, actor: Actor) -> Iterator[AdminAction]:
    """One for each user of whom something was changed."""
    changed: dict[str, list[str]] = {one: [] for one in sorted({*_users_of(mended.repair)})}
    for total in mended.repair.updates:
        changed[total.user_id].append(
            f"total of {total.metric} {total.old_total} to {total.new_total}"
        )
    for standing in mended.repair.standings:
        about = standing.mismatch
        name = about.board.name if about.board else ""
        changed[about.user_id].append(f"standing on {name} {about.found} to {about.expected}")
    for one in mended.credited:
        changed[one.user_id].append(
            f"{one.credit.amount} {one.credit.metric} for {one.credit.level_id}"
        )
    for user_id, what in changed.items():
        if what:
            yield AdminAction(METHOD, actor, user_id, "; ".join(what)[:_MAX_DETAIL])
