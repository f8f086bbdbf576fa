"""Loading a new generation from a snapshot."""

import time
from collections.abc import Mapping, Sequence

from redis.typing import EncodableT, FieldT

from leaderboard_service.domain.fold import Profile
from leaderboard_service.store import keys
from leaderboard_service.store.boards import Meta
from leaderboard_service.store.client import RedisLink
from leaderboard_service.store.keys import Generation

Fields = Mapping[FieldT, EncodableT]

_CHUNK = 1000
# A load may be slow where a read may not.
_TIMEOUT_S = 30.0


class GenerationLoader:
    """Fills a generation that nobody reads: profiles, then boards, then `finish`.

    Until `finish` it has no meta and counts as gone.
    """

    def __init__(self, link: RedisLink, generation: Generation) -> None:
        self._link = link
        self._generation = generation
        self._hidden: set[str] = set()
        self._profiles = 0
        self._hidden_boards: dict[str, int] = {}
        self._members: dict[str, int] = {}

    async def add_profiles(self, profiles: Sequence[tuple[str, Profile]]) -> None:
        """Adds users, each once, before any of their scores."""
        for start in range(0, len(profiles), _CHUNK):
            chunk = profiles[start : start + _CHUNK]
            self._hidden.update(user for user, profile in chunk if profile.hidden)
            packed: Fields = {user: keys.pack_profile(profile) for user, profile in chunk}
            client = self._link.client
            added = client.hset(self._generation.profiles, mapping=packed)
            self._profiles += int(await self._link.call(added, timeout_s=_TIMEOUT_S))

    async def add_scores(self, board: str, scores: Sequence[tuple[str, int]]) -> None:
        """Adds a board's scores, each user once; hidden users' go beside the boards."""
        pipeline = self._link.client.pipeline(transaction=False)
        key = self._generation.board(board)
        shown = {user: -score for user, score in scores if score > 0 and user not in self._hidden}
        users = list(shown)
        for start in range(0, len(users), _CHUNK):
            pipeline.zadd(key, {user: shown[user] for user in users[start : start + _CHUNK]})
        for user, score in scores:
            if user in self._hidden and score > 0:
                pipeline.hset(self._generation.hidden(user), board, score)
                self._hidden_boards[user] = self._hidden_boards.get(user, 0) + 1
        if len(pipeline):
            await self._link.call(pipeline.execute(), timeout_s=_TIMEOUT_S)
        if shown:
            self._members[board] = self._members.get(board, 0) + len(shown)

    async def finish(self, meta: Meta) -> None:
        """Writes what the generation says of itself: from here on it can be followed."""
        fields: Fields = {
            "epoch": meta.position.epoch,
            "sequence": meta.position.sequence,
            "numbered_us": meta.numbered_us,
            "confirmed_us": meta.confirmed_us,
            "floors": meta.floors.encode(),
            "profiles": self._profiles,
            "built_us": time.time_ns() // 1000,
            **{f"{keys.MEMBERS}{board}": count for board, count in self._members.items()},
            **{f"{keys.HIDDEN}{user}": count for user, count in self._hidden_boards.items()},
        }
        # One command, so that there is no moment with half of it.
        written = self._link.client.hset(self._generation.meta, mapping=fields)
        await self._link.call(written, timeout_s=_TIMEOUT_S)
