"""What happens to keys that Laurel does not do: eviction, a foreign hand, an emptied Redis."""

from typing import Any

from tests.leaderboard_store import XP, Stores


def _client(stores: Stores) -> Any:
    return stores.link.client


def _board(stores: Stores, user: str) -> str:
    """The key of the part of the all-time board that the user is in."""
    return stores.generation.parts[stores.generation.part_of(user)].board(XP.name)


async def lose_board(stores: Stores) -> None:
    await _client(stores).delete(_board(stores, "b"))


async def lose_member(stores: Stores) -> None:
    await _client(stores).zrem(_board(stores, "b"), "b")


async def replace_board(stores: Stores) -> None:
    """The board's key is of another type."""
    await _client(stores).set(_board(stores, "b"), "x")


async def lose_profiles(stores: Stores) -> None:
    part = stores.generation.parts[stores.generation.part_of("b")]
    await _client(stores).delete(part.profiles)


async def lose_hidden(stores: Stores) -> None:
    """The scores that are kept of h."""
    part = stores.generation.parts[stores.generation.part_of("h")]
    await _client(stores).delete(part.hidden("h"))


async def lose_meta(stores: Stores) -> None:
    part = stores.generation.parts[stores.generation.part_of("b")]
    await _client(stores).delete(part.meta)


async def lose_everything(stores: Stores) -> None:
    await _client(stores).flushdb()
