"""Profiles as they are now; each visible edit is also a change of the history."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.user import User
from progress_service.store.ledger_write import PROFILE_CHANGE
from progress_service.store.rows import RowSet

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
# is and is no change.
_PUT = text(
    f"""
    WITH put AS (
        INSERT INTO users ({_USERS.names})
        SELECT {_USERS.names} FROM {_USERS.source} ORDER BY user_id COLLATE "C"
        ON CONFLICT (user_id) DO UPDATE SET
            display_name = EXCLUDED.display_name, avatar_url = EXCLUDED.avatar_url,
            time_zone = EXCLUDED.time_zone, hidden = EXCLUDED.hidden, update_time = now()
        WHERE (users.display_name, users.avatar_url, users.time_zone, users.hidden)
            IS DISTINCT FROM (EXCLUDED.display_name, EXCLUDED.avatar_url, EXCLUDED.time_zone,
                              EXCLUDED.hidden)
        RETURNING user_id, display_name, avatar_url, hidden
    )
    INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
    SELECT {PROFILE_CHANGE}, user_id, display_name, avatar_url, hidden FROM put ORDER BY user_id
    """
)
_COLUMNS = "user_id, display_name, avatar_url, time_zone, hidden"
_GET = text(f"SELECT {_COLUMNS} FROM users WHERE user_id = :user_id")
# Index: the primary key, or users_display_name for a prefix of the name.
_LIST = text(
    f"""SELECT {_COLUMNS} FROM users
        WHERE user_id > :after
          AND (:prefix = '' OR starts_with(user_id, :prefix)
               OR lower(display_name) LIKE lower(:pattern) ESCAPE '!')
        ORDER BY user_id LIMIT :limit"""
)


async def put(connection: AsyncConnection, users: Sequence[User]) -> None:
    """Creates or replaces profiles; of two with one id the later one counts."""
    latest = {user.user_id: user for user in users}
    rows = [
        (user.user_id, user.display_name, user.avatar_url, user.time_zone, user.hidden)
        for user in latest.values()
    ]
    await connection.execute(_PUT, _USERS.params(rows))


async def get(connection: AsyncConnection, user_id: str) -> User | None:
    """The profile, or None."""
    row = (await connection.execute(_GET, {"user_id": user_id})).one_or_none()
    return User(*row) if row else None


async def load_page(connection: AsyncConnection, prefix: str, after: str, limit: int) -> list[User]:
    """Users by id after `after` whose id, or name in any case, starts with `prefix`."""
    escaped = prefix.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    params = {"prefix": prefix, "pattern": escaped + "%", "after": after, "limit": limit}
    return [User(*row) for row in await connection.execute(_LIST, params)]
