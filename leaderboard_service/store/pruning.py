"""Scores that are kept of hidden users, on boards of periods that are kept no more."""

from leaderboard_service.store import keys
from leaderboard_service.store.client import RedisLink, Script
from leaderboard_service.store.keys import Generation, Part

# Users in one script, so that it is over in some milliseconds.
_USERS = 100


class HiddenPruner:
    """Deletes them: raising the floors drops boards, and these lie in a key of each user."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._script = Script("prune_hidden")

    async def prune(self, generation: Generation) -> int:
        """How many scores were deleted, by each part's own floors. What was begun and not ended
        is ended by the next call. Raises RedisUnavailable.
        """
        return sum([await self._prune_part(part) for part in generation.parts])

    async def _prune_part(self, part: Part) -> int:
        deleted, cursor = 0, 0
        while True:
            cursor, fields = await self._link.call(
                self._link.client.hscan(part.meta, cursor, f"{keys.HIDDEN}*", _USERS)
            )
            users = [str(name).removeprefix(keys.HIDDEN) for name in fields]
            for start in range(0, len(users), _USERS):
                chunk = users[start : start + _USERS]
                answer = await self._link.run(
                    self._script, [part.meta], [part.hidden_prefix, *chunk]
                )
                if answer[0] == "gone":
                    return deleted
                deleted += int(answer[1])
            if cursor == 0:
                return deleted
