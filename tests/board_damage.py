"""What a foreign hand does to the boards of the scene of verify_boards. But for what cannot be
mended, what meta counts stays right, so that nobody but a comparison notices.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from leaderboard_service.store.keys import HIDDEN, MEMBERS, Generation, Part
from tests.leaderboard_app import direct
from tests.verify_boards import ALL_TIME, TODAY, Mismatch

DAY = f"xp//day/{TODAY}"
MARKS = "marks/c/all_time/"
UNHEARD = "unheard//all_time/"


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


async def wrong_score(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "a", 99)
    return [(ALL_TIME, "a", 10, 99)]


async def too_low(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "crowd-3", 1)
    return [(ALL_TIME, "crowd-3", 18, 1)]


async def missing(hand: Hand) -> list[Mismatch]:
    await hand.remove(DAY, "b")
    return [(DAY, "b", 11, 0)]


async def foreign(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "nobody", 7)
    await hand.put(MARKS, "crowd-3", 5)
    return [(ALL_TIME, "nobody", 0, 7), (MARKS, "crowd-3", 0, 5)]


async def hidden_score(hand: Hand) -> list[Mismatch]:
    await hand.keep(ALL_TIME, "h", 1)
    await hand.keep(DAY, "i", 5)
    return [(ALL_TIME, "h", 13, 1), (DAY, "i", 14, 5)]


async def hidden_lost(hand: Hand) -> list[Mismatch]:
    await hand.forget(MARKS, "h")
    return [(MARKS, "h", 8, 0)]


async def hidden_on_the_board(hand: Hand) -> list[Mismatch]:
    await hand.put(ALL_TIME, "i", 14)
    return [(ALL_TIME, "i", 0, 14)]


async def shown_beside_the_board(hand: Hand) -> list[Mismatch]:
    await hand.keep(ALL_TIME, "c", 12)
    return [(ALL_TIME, "c", 0, 12)]


async def moved_beside_the_board(hand: Hand) -> list[Mismatch]:
    await hand.remove(ALL_TIME, "c")
    await hand.keep(ALL_TIME, "c", 12)
    return [(ALL_TIME, "c", 0, 12)]


async def whole_board(hand: Hand) -> list[Mismatch]:
    await hand.drop(MARKS)
    return [(MARKS, user, 5 + number, 0) for number, user in enumerate("abc")]


async def unknown_board(hand: Hand) -> list[Mismatch]:
    await hand.put(UNHEARD, "a", 3)
    await hand.put(UNHEARD, "nobody", 4)
    return [(UNHEARD, "a", 0, 3), (UNHEARD, "nobody", 0, 4)]


async def on_boards(hand: Hand) -> list[Mismatch]:
    damage = [wrong_score, too_low, missing, foreign, hidden_score, unknown_board]
    return [one for do in damage for one in await do(hand)]


async def beside_boards(hand: Hand) -> list[Mismatch]:
    damage = [hidden_lost, hidden_on_the_board, shown_beside_the_board, whole_board]
    return [one for do in damage for one in await do(hand)]


# What cannot be mended.


async def miscounted_board(hand: Hand) -> list[Mismatch]:
    await hand.redis.zrem(hand.part("b").board(ALL_TIME), "b")
    return [(ALL_TIME, "b", 11, 0)]


async def board_of_another_type(hand: Hand) -> list[Mismatch]:
    await hand.redis.set(hand.part("a").board(MARKS), "x")
    return [(MARKS, user, 5 + number, 0) for number, user in enumerate("abc")]


async def uncounted_board(hand: Hand) -> list[Mismatch]:
    await hand.redis.zadd(hand.part("a").board(UNHEARD), {"a": -3})
    return [(UNHEARD, "a", 0, 3)]


async def miscounted_hidden(hand: Hand) -> list[Mismatch]:
    await hand.redis.hdel(hand.part("h").hidden("h"), ALL_TIME)
    return [(ALL_TIME, "h", 13, 0)]


async def profiles_lost(hand: Hand) -> list[Mismatch]:
    await hand.redis.delete(hand.part("a").profiles)
    return []
