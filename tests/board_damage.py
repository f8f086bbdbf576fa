"""What a foreign hand does to boards in Redis so that nobody but a comparison notices: what meta
counts stays right.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from leaderboard_service.store.keys import HIDDEN, MEMBERS, Generation, Part
from tests.leaderboard_app import direct


class Hand:
    """Writes past the service."""

    def __init__(self, redis: Any, generation: Generation) -> None:
        self.redis = redis
        self.generation = generation

    async def put(self, board: str, user: str, score: int, part: Part | None = None) -> None:
        """The user is on the board, with that score; in the user's part unless told."""
        part = part or self.part(user)
        if await self.redis.zadd(part.board(board), {user: -score}):
            await self._count(part, MEMBERS + board, 1)

    async def remove(self, board: str, user: str) -> None:
        part = self.part(user)
        if await self.redis.zrem(part.board(board), user):
            await self._count(part, MEMBERS + board, -1)

    async def drop(self, board: str) -> None:
        """The board is not there."""
        for part in self.generation.parts:
            await self.redis.delete(part.board(board))
            await self.redis.hdel(part.meta, MEMBERS + board)

    async def keep(self, board: str, user: str, score: int) -> None:
        """The score is kept beside the board, as of a hidden user."""
        part = self.part(user)
        if await self.redis.hset(part.hidden(user), board, score):
            await self._count(part, HIDDEN + user, 1)

    async def forget(self, board: str, user: str) -> None:
        """Nothing is kept beside the board."""
        part = self.part(user)
        if await self.redis.hdel(part.hidden(user), board):
            await self._count(part, HIDDEN + user, -1)

    def part(self, user: str) -> Part:
        return self.generation.parts[self.generation.part_of(user)]

    def other_part(self, user: str) -> Part:
        """One that is not the user's, if there are several."""
        return self.generation.parts[self.generation.part_of(user) - 1]

    async def _count(self, part: Part, field: str, by: int) -> None:
        if await self.redis.hincrby(part.meta, field, by) == 0:
            await self.redis.hdel(part.meta, field)


@asynccontextmanager
async def hand(redis_url: str) -> AsyncIterator[Hand]:
    """A hand in the boards that are read."""
    async with direct(redis_url) as redis:
        yield Hand(redis, Generation(str(await redis.get("laurel:generation"))))
