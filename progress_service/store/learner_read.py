"""What a group of commands needs to know, read in one statement after its users are locked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.plausibility import Velocity
from progress_service.domain.request import Answered, Request, RequestKind, same_request
from progress_service.domain.streak import FreezeGrant, Run, civil_day
from progress_service.domain.submission import CourseState, LevelState
from progress_service.domain.zone import ZoneChange, zone_at
from progress_service.store import velocity
from progress_service.store.evaluations import Evaluation
from progress_service.store.zones import changes_of, zone_of

_USERS = """SELECT user_id, time_zone, active_days, earlier_zones::text AS earlier_zones,
                   freeze_grants::text AS freeze_grants
            FROM users WHERE user_id = ANY(CAST(:ids AS text[])) ORDER BY user_id"""
_READ_USERS = text(_USERS)
_LOCK_USERS = text(_USERS + " FOR NO KEY UPDATE")
_LOCK_FREE_USERS = text(_USERS + " FOR NO KEY UPDATE SKIP LOCKED")

_DAY = timedelta(days=1)

# One row for each ask. Cost: a few primary-key look-ups per ask; neighbours only where the
# course has an order of levels. Index: the primary keys. `LIMIT 1` instead of EXISTS: that
# may be planned as one scan of the whole table.
_READ = """
    SELECT ask.ordinal, {velocity}
           k.kind, k.fingerprint, k.answer::text AS answer,
           p.best_marks, p.attempts, p.time_spent_ms, p.complete_time, p.xp_earned,
           p.best_ratio,
           c.version,
           cp.course_version, cp.levels_completed, cp.marks,
           (SELECT true FROM level_rewards r
            WHERE r.user_id = ask.user_id AND r.level_id = ask.level_id LIMIT 1)
               IS TRUE AS rewarded,
           CASE WHEN ask.reference <> '' THEN
               (SELECT a.entry_id FROM award_references a
                WHERE a.user_id = ask.user_id AND a.metric = ask.metric
                  AND a.source = ask.source AND a.reference = ask.reference LIMIT 1)
               END AS referenced_entry_id,
           (SELECT jsonb_object_agg(t.metric, t.total) FROM user_totals t
            WHERE t.user_id = ask.user_id)::text AS totals,
           CASE WHEN ask.neighbours <> '' THEN
               ARRAY(SELECT n.level_id FROM level_progress n
                     WHERE n.user_id = ask.user_id AND n.course_id = ask.course_id
                       AND n.level_id = ANY(string_to_array(ask.neighbours, ','))
                       AND n.complete_time IS NOT NULL) END AS completed
    FROM unnest(CAST(:user_id AS text[]), CAST(:request_id AS text[]), CAST(:course_id AS text[]),
                CAST(:level_id AS text[]), CAST(:neighbours AS text[]), CAST(:metric AS text[]),
                CAST(:source AS text[]), CAST(:reference AS text[]),
                CAST(:counted_as AS text[])) WITH ORDINALITY
         AS ask (user_id, request_id, course_id, level_id, neighbours, metric, source, reference,
                 counted_as, ordinal)
    LEFT JOIN request_keys k ON k.user_id = ask.user_id AND k.request_id = ask.request_id
    LEFT JOIN courses c ON c.course_id = ask.course_id
    LEFT JOIN level_progress p ON p.user_id = ask.user_id AND p.course_id = ask.course_id
                              AND p.level_id = ask.level_id
    LEFT JOIN course_progress cp ON cp.user_id = ask.user_id AND cp.course_id = ask.course_id
    {join}
    ORDER BY ask.ordinal
"""
_READ_UNCOUNTED = text(_READ.format(velocity="NULL AS minute,", join=""))
_READ_COUNTED = text(_READ.format(velocity=f"{velocity.COLUMNS},", join=velocity.JOIN))
_CATALOG = text(
    """SELECT now() AS time,
              (SELECT jsonb_object_agg(metric, windows) FROM metrics)::text AS windows,
              (SELECT jsonb_object_agg(metric, max_self_award) FROM metrics
               WHERE max_self_award > 0)::text AS self_awards,
              (SELECT range_agg(daterange(day, day, '[]')) FROM amnesty_days) AS amnesty,
              ARRAY(SELECT nextval('attempt_ids') FROM generate_series(1, :attempts)) AS attempts,
              ARRAY(SELECT nextval('entry_ids') FROM generate_series(1, :entries)) AS entries"""
)


class Learner(NamedTuple):
    """A locked user; `runs`: the active days, `earlier`: the zones before `time_zone`."""

    user_id: str
    time_zone: str = ""
    runs: tuple[Run, ...] = ()
    earlier: tuple[ZoneChange, ...] = ()
    grants: tuple[FreezeGrant, ...] = ()

    def zone_at(self, moment: datetime) -> str:
        """The name of the zone that the user had then."""
        return zone_at(moment, self.time_zone, self.earlier)

    def day_of(self, moment: datetime, deployment: ZoneInfo) -> date:
        """The civil day that it was for the user."""
        return civil_day(moment, zone_of(self.zone_at(moment), deployment))


class Ask(NamedTuple):
    """What to read for one command; parts that do not apply are empty. `counted_as`: of which
    source the velocity is.
    """

    user_id: str
    request_id: str
    course_id: str = ""
    level_id: str = ""
    neighbours: frozenset[str] = frozenset()
    metric: str = ""
    source: str = ""
    reference: str = ""
    counted_as: str = ""


class Found(NamedTuple):
    """What was read for one ask. `course_version` None: no such course; `stored_version`:
    the version that `course` was judged against, None when the user never tried it.
    `evaluation`: made anew because that was another; the rest is by it then.
    """

    answered: Answered | None
    level: LevelState
    course: CourseState
    course_version: int | None
    stored_version: int | None
    rewarded: bool
    referenced_entry_id: int | None
    totals: dict[str, int]
    completed: frozenset[str]
    evaluation: Evaluation | None = None
    velocity: Velocity | None = None

    def earlier_answer(self, request: Request) -> dict[str, Any] | None:
        """What was answered to the request before; Conflict (REQUEST_ID_REUSED) when its id was
        used with other contents.
        """
        if self.answered is None:
            return None
        return same_request(self.answered, request.kind, request.fingerprint(), request.request_id)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Each metric's window mask, fresh ids, ascending, the amnesty days, and what users may award
    themselves at once of each metric, where that is something; `time` is the transaction's, the
    create_time of what it writes.
    """

    windows: dict[str, int]
    attempt_ids: list[int]
    entry_ids: list[int]
    time: datetime
    amnesty: tuple[Run, ...] = ()
    self_awards: Mapping[str, int] = field(default_factory=dict)


def runs_of(multirange: Sequence[Any] | None) -> tuple[Run, ...]:
    """A datemultirange (half-open ranges of dates) as runs of days; NULL has none."""
    return tuple(Run(span.lower, span.upper - _DAY) for span in multirange or ())


def grants_of(document: str) -> tuple[FreezeGrant, ...]:
    """The column freeze_grants."""
    return tuple(FreezeGrant(date.fromisoformat(day), days) for day, days in orjson.loads(document))


async def lock_users(connection: AsyncConnection, user_ids: Sequence[str]) -> dict[str, Learner]:
    """Locks those users that exist, in sorted order, until the transaction ends.

    A statement of its own: what the lock guards is read by the next one, which sees what
    the holder before has committed.
    """
    return await _learners(connection, _LOCK_USERS, user_ids)


async def lock_free_users(
    connection: AsyncConnection, user_ids: Sequence[str]
) -> dict[str, Learner]:
    """As `lock_users`, without those that another transaction holds."""
    return await _learners(connection, _LOCK_FREE_USERS, user_ids)


async def read_users(connection: AsyncConnection, user_ids: Sequence[str]) -> dict[str, Learner]:
    """Those users that exist, held or not."""
    return await _learners(connection, _READ_USERS, user_ids)


async def _learners(
    connection: AsyncConnection, statement: TextClause, user_ids: Sequence[str]
) -> dict[str, Learner]:
    rows = await connection.execute(statement, {"ids": sorted(set(user_ids))})
    return {
        row.user_id: Learner(
            row.user_id,
            row.time_zone,
            runs_of(row.active_days),
            changes_of(row.earlier_zones),
            grants_of(row.freeze_grants),
        )
        for row in rows
    }


async def lock_user(
    connection: AsyncConnection, user_id: str, request_id: str
) -> tuple[Learner | None, Found]:
    """Locks one user, and reads then what is stored of the user's request; None: no such user."""
    locked = await lock_users(connection, [user_id])
    (found,) = await read_states(connection, [Ask(user_id, request_id)])
    return locked.get(user_id), found


async def read_states(connection: AsyncConnection, asks: Sequence[Ask]) -> list[Found]:
    """What is stored about each ask, in their order; all users in them are locked."""
    params: dict[str, list[str]] = {
        "user_id": [ask.user_id for ask in asks],
        "request_id": [ask.request_id for ask in asks],
        "course_id": [ask.course_id for ask in asks],
        "level_id": [ask.level_id for ask in asks],
        "neighbours": [",".join(ask.neighbours) for ask in asks],
        "metric": [ask.metric for ask in asks],
        "source": [ask.source for ask in asks],
        "reference": [ask.reference for ask in asks],
        "counted_as": [ask.counted_as for ask in asks],
    }
    statement = _READ_COUNTED if any(params["counted_as"]) else _READ_UNCOUNTED
    return [_found(row) for row in await connection.execute(statement, params)]


def _found(row: Any) -> Found:
    answered = None
    if row.kind is not None:
        answered = Answered(RequestKind(row.kind), bytes(row.fingerprint), orjson.loads(row.answer))
    level = LevelState()
    if row.attempts is not None:
        level = LevelState(
            row.best_marks,
            row.attempts,
            row.time_spent_ms,
            row.complete_time,
            row.xp_earned,
            row.best_ratio,
        )
    course = CourseState()
    if row.course_version is not None:
        course = CourseState(row.levels_completed, row.marks)
    return Found(
        answered=answered,
        level=level,
        course=course,
        course_version=row.version,
        stored_version=row.course_version,
        rewarded=row.rewarded,
        referenced_entry_id=row.referenced_entry_id,
        totals=orjson.loads(row.totals) if row.totals else {},
        completed=frozenset(row.completed or ()),
        velocity=velocity.velocity_of(row),
    )


async def read_catalog(connection: AsyncConnection, attempts: int, entries: int) -> Catalog:
    """The metrics and amnesty days as they are now, and as many new ids as are asked for."""
    row = (await connection.execute(_CATALOG, {"attempts": attempts, "entries": entries})).one()
    return Catalog(
        orjson.loads(row.windows),
        list(row.attempts),
        list(row.entries),
        row.time,
        runs_of(row.amnesty),
        orjson.loads(row.self_awards) if row.self_awards else {},
    )
