"""Profiles as they are now; each visible edit is also a change of the history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.bounds import MAX_ZONE_CHANGES
from progress_service.domain.user import User
from progress_service.store import active_days
from progress_service.store.ledger_write import PROFILE_CHANGE
from progress_service.store.rows import RowSet
from shared.errors import FailedPrecondition
from shared.identity import Actor

METHOD = "laurel.progress.v1.CatalogService/PutUser"

_USERS = RowSet(
    "users",
    {
        "user_id": "text",
        "display_name": "text",
        "avatar_url": "text",
        "time_zone": "text",
        "hidden": "boolean",
    },
)
# Creates or edits in the order in which users are locked; a profile that is equal stays as it
# is and is no change. Moments in earlier_zones are texts of one length, so they compare as times
# do, and never go back, whichever replica's clock they are from. Rows: the profiles that changed,
# with the number of zone changes where that was one.
# RETURNING knows only what is stored now: the setting carries the row's `hidden` of before over
# to it, from the locked row and not the snapshot, which may be older.
_PUT = text(
    f"""
    WITH put AS (
        INSERT INTO users ({_USERS.names})
        SELECT {_USERS.names} FROM {_USERS.source} ORDER BY user_id COLLATE "C"
        ON CONFLICT (user_id) DO UPDATE SET
            display_name = EXCLUDED.display_name, avatar_url = EXCLUDED.avatar_url,
            time_zone = EXCLUDED.time_zone, update_time = now(),
            hidden = CASE WHEN set_config('laurel.was', users.user_id || ' ' || users.hidden, true)
                <> '' THEN EXCLUDED.hidden END,
            earlier_zones = CASE users.time_zone WHEN EXCLUDED.time_zone THEN users.earlier_zones
                ELSE users.earlier_zones || jsonb_build_array(jsonb_build_array(
                    greatest(CAST(:now AS text) COLLATE "C", users.earlier_zones -> -1 ->> 0),
                    users.time_zone)) END
        WHERE (users.display_name, users.avatar_url, users.time_zone, users.hidden)
            IS DISTINCT FROM (EXCLUDED.display_name, EXCLUDED.avatar_url, EXCLUDED.time_zone,
                              EXCLUDED.hidden)
        RETURNING user_id, display_name, avatar_url, hidden, earlier_zones,
            current_setting('laurel.was', true) = user_id || ' ' || (NOT hidden) AS turned
    ), acts AS (
        INSERT INTO admin_actions (method, actor, caller, user_id, detail)
        SELECT '{METHOD}', :actor, :caller, user_id,
               CASE WHEN hidden THEN 'hidden' ELSE 'not hidden' END
        FROM put WHERE turned AND CAST(:actor AS text) IS NOT NULL
    ), changes AS (
        INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
        SELECT {PROFILE_CHANGE}, user_id, display_name, avatar_url, hidden FROM put
        ORDER BY user_id
        RETURNING user_id, change_id
    )
    SELECT user_id, c.change_id,
           CASE WHEN p.earlier_zones -> -1 ->> 0 >= CAST(:now AS text) COLLATE "C"
                THEN jsonb_array_length(p.earlier_zones) END AS zone_changes
    FROM put p JOIN changes c USING (user_id)
    """
)
# Of two at once the second waits for the first, and then finds the profile there.
_CREATE = text(
    f"""
    WITH created AS (
        INSERT INTO users ({_USERS.names}) SELECT {_USERS.names} FROM {_USERS.source}
        ON CONFLICT (user_id) DO NOTHING
        RETURNING user_id, display_name, avatar_url, hidden
    )
    INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
    SELECT {PROFILE_CHANGE}, user_id, display_name, avatar_url, hidden FROM created
    """
)
_COLUMNS = "user_id, display_name, avatar_url, time_zone, hidden"
_GET = text(f"SELECT {_COLUMNS} FROM users WHERE user_id = :user_id")
# '~' comes after every character of an id: the pseudonyms of erased users are left out.
_NAMED = "user_id > :after AND user_id < '~'"
# Index: the primary key.
_LIST = text(f"SELECT {_COLUMNS} FROM users WHERE {_NAMED} ORDER BY user_id LIMIT :limit")
# A user whose id and name both match is in both parts, once in their union. Index: the primary
# key for the first part; users_display_name for the second, or the primary key when a name
# matches so often that a page is soon full.
_LIST_PREFIX = text(
    f"""(SELECT {_COLUMNS} FROM users
         WHERE {_NAMED} AND user_id >= :prefix AND user_id < :prefix_end
         ORDER BY user_id LIMIT :limit)
        UNION
        (SELECT {_COLUMNS} FROM users
         WHERE {_NAMED} AND lower(display_name) LIKE lower(:pattern) ESCAPE '!'
         ORDER BY user_id LIMIT :limit)
        ORDER BY user_id LIMIT :limit"""
)


@dataclass(frozen=True)
class Profiles:
    """Writes profiles; `zone` is the deployment's."""

    zone: ZoneInfo
    clock: Callable[[], datetime]

    async def put(
        self, connection: AsyncConnection, users: Sequence[User], actor: Actor | None = None
    ) -> dict[str, int]:
        """Creates or replaces profiles; of two with one id the later one counts. The change_id of
        each user whose profile is another now.

        Records an act for each user who was there and is hidden, or shown, by it; with `actor`
        None it is part of an act that the caller records.

        Another time zone holds from now on: active days before keep the zone that they had.
        Raises FailedPrecondition (TOO_MANY_TIME_ZONES).
        """
        latest = {user.user_id: user for user in users}
        rows = [_row(user) for user in latest.values()]
        now = self.clock()
        stamp = now.astimezone(UTC).isoformat(timespec="microseconds")
        name, caller = actor or (None, None)
        params = _USERS.params(rows) | {"now": stamp, "actor": name, "caller": caller}
        changed = (await connection.execute(_PUT, params)).all()
        moved = [row for row in changed if row.zone_changes is not None]
        for row in moved:
            if row.zone_changes > MAX_ZONE_CHANGES:
                raise too_many_time_zones(row.user_id)
        # A clock may run ahead, and this write may have waited for one that is later.
        await active_days.recompute_since(
            connection, [row.user_id for row in moved], now, self.zone
        )
        return {row.user_id: row.change_id for row in changed}

    async def create(self, connection: AsyncConnection, user: User) -> None:
        """Creates the profile; one that is there stays as it is."""
        await connection.execute(_CREATE, _USERS.params([_row(user)]))


def _row(user: User) -> tuple[str, str, str, str, bool]:
    return (user.user_id, user.display_name, user.avatar_url, user.time_zone, user.hidden)


def too_many_time_zones(user_id: str) -> FailedPrecondition:
    """The user has had so many that no further one is taken."""
    return FailedPrecondition(
        "TOO_MANY_TIME_ZONES",
        f"The user's time zone changed {MAX_ZONE_CHANGES} times before.",
        metadata={"user_id": user_id},
    )


async def get(connection: AsyncConnection, user_id: str) -> User | None:
    """The profile, or None."""
    row = (await connection.execute(_GET, {"user_id": user_id})).one_or_none()
    return User(*row) if row else None


async def load_page(connection: AsyncConnection, prefix: str, after: str, limit: int) -> list[User]:
    """Users by id after `after` whose id, or name in any case, starts with `prefix`."""
    params: dict[str, Any] = {"after": after, "limit": limit}
    if not prefix:
        return [User(*row) for row in await connection.execute(_LIST, params)]
    escaped = prefix.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    # Ids are ASCII: every id that starts with the prefix comes before this.
    params |= {"prefix": prefix, "prefix_end": prefix + "\x7f", "pattern": escaped + "%"}
    return [User(*row) for row in await connection.execute(_LIST_PREFIX, params)]
