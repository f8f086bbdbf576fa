"""Failures that no code of the services expects: clients bring them about, each in one call alone,
and their texts are for nobody to be told.

In PostgreSQL a trigger raises them, in LeaderboardService a read of Redis. What a caller gets of
one is INTERNAL with a request id; of a write that shares a transaction with others, WRITE_FAILED.
"""

from importlib import import_module
from typing import Any

from redis.exceptions import ResponseError

USER = "planted"
"""Whose profile cannot be written, and whose rank cannot be read."""
SOURCE = "planted"
"""Of the awards that cannot be written."""
ALONE = "WRITE_FAILED"
"""What is said of a write that shared a transaction with others, and failed alone."""
SQL_CANARY = "canary-trigger-40b7"
REDIS_CANARY = "canary-reply-77d2"

# The text of an exception in SQL comes with the statement and the function's name.
INSTALL = f"""
CREATE FUNCTION harness.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    RAISE EXCEPTION '{SQL_CANARY}' USING DETAIL = '{SQL_CANARY}', HINT = '{SQL_CANARY}';
END $$;
CREATE TRIGGER planted BEFORE INSERT ON public.users
    FOR EACH ROW WHEN (NEW.user_id = '{USER}') EXECUTE FUNCTION harness.refuse();
CREATE TRIGGER planted BEFORE INSERT ON public.xp_entries
    FOR EACH ROW WHEN (NEW.source = '{SOURCE}') EXECUTE FUNCTION harness.refuse();
"""


def plant() -> None:
    """From now on this process, a LeaderboardService, fails when it reads USER's rank in Redis."""
    reader = import_module("leaderboard_service.reader").BoardReader
    real = reader.rank

    async def rank(self: Any, ask: Any) -> Any:
        if ask.user_id == USER:
            raise ResponseError(f"{REDIS_CANARY}: EVALSHA of laurel:{{0}} went wrong")
        return await real(self, ask)

    reader.rank = rank


def is_planted(method: str, request: Any) -> bool:
    """Whether a call of this method with this request is one of those."""
    match method:
        case "PutUser":
            return bool(request.user.user_id == USER)
        case "GetRank":
            return bool(request.user_id == USER)
        case "AwardXp":
            return bool(request.source == SOURCE)
    return False
