"""Loading a new generation from a snapshot."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from redis.typing import EncodableT, FieldT

from leaderboard_service.domain.fold import Profile
from leaderboard_service.store import keys
from leaderboard_service.store.boards import Meta, PartMeta
from leaderboard_service.store.client import RedisLink
from leaderboard_service.store.keys import Generation, Part

Fields = Mapping[FieldT, EncodableT]

_CHUNK = 1000
# A load may be slow where a read may not.
_TIMEOUT_S = 30.0


class _Counts:
    """What the meta of a part will say of its keys."""

    def __init__(self) -> None:
        self.profiles = 0
        self.members: Counter[str] = Counter()
        self.hidden_boards: Counter[str] = Counter()

    def fields(self) -> Fields:
        return {
            "profiles": self.profiles,
            **{f"{keys.MEMBERS}{board}": count for board, count in self.members.items()},
            **{f"{keys.HIDDEN}{user}": count for user, count in self.hidden_boards.items()},
        }


class GenerationLoader:
    """Fills a generation that nobody reads: profiles, then boards, then `finish`.

    Until `finish` it has no meta and counts as gone.
    """

    def __init__(self, link: RedisLink, generation: Generation) -> None:
        self._link = link
        self._generation = generation
        self._hidden: set[str] = set()
        self._counts = [_Counts() for _ in generation.parts]

    async def add_profiles(self, profiles: Sequence[tuple[str, Profile]]) -> None:
        """Adds users, each once, before any of their scores."""
        shares: dict[int, dict[str, str]] = {}
        for user, profile in profiles:
            if profile.hidden:
                self._hidden.add(user)
            share = shares.setdefault(self._generation.part_of(user), {})
            share[user] = keys.pack_profile(profile)
        pipeline = self._link.client.pipeline(transaction=False)
        for number, share in shares.items():
            for chunk in _chunks(list(share)):
                packed: Fields = {user: share[user] for user in chunk}
                pipeline.hset(self._generation.parts[number].profiles, mapping=packed)
            self._counts[number].profiles += len(share)
        if shares:
            await self._link.call(pipeline.execute(), timeout_s=_TIMEOUT_S)

    async def add_scores(self, board: str, scores: Sequence[tuple[str, int]]) -> None:
        """Adds a board's scores, each user once; hidden users' go beside the boards."""
        shares: dict[int, dict[str, int]] = {}
        for user, score in scores:
            if score > 0:
                shares.setdefault(self._generation.part_of(user), {})[user] = score
        pipeline = self._link.client.pipeline(transaction=False)
        for number, share in shares.items():
            self._add_share(pipeline, number, board, share)
        if shares:
            await self._link.call(pipeline.execute(), timeout_s=_TIMEOUT_S)

    def _add_share(self, pipeline: Any, number: int, board: str, share: dict[str, int]) -> None:
        part, counts = self._generation.parts[number], self._counts[number]
        shown = [user for user in share if user not in self._hidden]
        for chunk in _chunks(shown):
            pipeline.zadd(part.board(board), {user: -share[user] for user in chunk})
        for user in share.keys() & self._hidden:
            pipeline.hset(part.hidden(user), board, share[user])
            counts.hidden_boards[user] += 1
        if shown:
            counts.members[board] += len(shown)

    async def finish(self, meta: PartMeta) -> Meta:
        """Writes what the generation says of itself, the same in each part: from here on it can
        be followed. Its meta.
        """
        shared: dict[FieldT, EncodableT] = {
            "epoch": meta.position.epoch,
            "sequence": meta.position.sequence,
            "numbered_us": meta.numbered_us,
            "confirmed_us": meta.confirmed_us,
            "floors": meta.floors.encode(),
            "built_us": time.time_ns() // 1000,
        }
        for part, counts in zip(self._generation.parts, self._counts, strict=True):
            await self._write_meta(part, {**shared, **counts.fields()})
        return Meta((meta,) * len(self._generation.parts))

    async def _write_meta(self, part: Part, fields: Fields) -> None:
        # One command, so that there is no moment with half of it.
        written = self._link.client.hset(part.meta, mapping=fields)
        await self._link.call(written, timeout_s=_TIMEOUT_S)


def _chunks(users: list[str]) -> list[list[str]]:
    return [users[start : start + _CHUNK] for start in range(0, len(users), _CHUNK)]
