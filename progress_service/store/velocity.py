"""What users were recorded of in their present minute and day: one row for each user and source,
read and written in the statements of the group that counts, while the user's row is held.
"""

from typing import Any

from progress_service.domain.plausibility import Velocity
from progress_service.store.rows import RowSet

VELOCITY = RowSet(
    "velocity",
    {
        "user_id": "id",
        "source": "text",
        "minute": "timestamptz",
        "minute_count": "integer",
        "minute_xp": "bigint",
        "day": "date",
        "day_count": "integer",
        "day_xp": "bigint",
    },
)
COLUMNS = "v.minute, v.minute_count, v.minute_xp, v.day, v.day_count, v.day_xp"
# Index: the primary key.
JOIN = "LEFT JOIN velocity v ON v.user_id = ask.user_id AND v.source = ask.counted_as"
PUT = f"""INSERT INTO velocity ({VELOCITY.names}) SELECT {VELOCITY.names} FROM {VELOCITY.source}
          ON CONFLICT (user_id, source) DO UPDATE SET
              minute = EXCLUDED.minute, minute_count = EXCLUDED.minute_count,
              minute_xp = EXCLUDED.minute_xp, day = EXCLUDED.day, day_count = EXCLUDED.day_count,
              day_xp = EXCLUDED.day_xp"""


def velocity_of(row: Any) -> Velocity | None:
    """The row's COLUMNS; None: nothing of this source was ever counted."""
    if row.minute is None:
        return None
    return Velocity(row.minute, row.minute_count, row.minute_xp, row.day, row.day_count, row.day_xp)
