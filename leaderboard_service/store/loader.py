"""Loading a new generation from a snapshot."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from redis.typing import EncodableT, FieldT

from leaderboard_service.domain.fold import Profile
from leaderboard_service.store import keys
from leaderboard_service.store.boards import Meta, PartMeta
from leaderboard_service.store.client import RedisLink
from leaderboard_service.store.keys import Generation, Part

T = TypeVar("T")

Fields = Mapping[FieldT, EncodableT]

# A millisecond's work here, and one in Redis: readers come in between.
_CHUNK = 250
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
    """Fills a generation that nobody reads: profiles, then boards, then `finish`. It waits for
    `pause` after each small piece of work.

    Until `finish` it has no meta and counts as gone.
    """

    def __init__(
        self,
        link: RedisLink,
        generation: Generation,
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        self._link = link
        self._generation = generation
        self._pause = pause
        self._hidden: set[str] = set()
        self._counts = [_Counts() for _ in generation.parts]

    async def add_profiles(self, profiles: Sequence[tuple[str, Profile]]) -> None:
        """Adds users, each once, before any of their scores."""
        for chunk in _chunks(profiles):
            shares: dict[int, dict[FieldT, EncodableT]] = {}
            for user, profile in chunk:
                if profile.hidden:
                    self._hidden.add(user)
                share = shares.setdefault(self._generation.part_of(user), {})
                share[user] = keys.pack_profile(profile)
            pipeline = self._link.client.pipeline(transaction=False)
            for number, share in shares.items():
                pipeline.hset(self._generation.parts[number].profiles, mapping=share)
                self._counts[number].profiles += len(share)
            await self._write(pipeline)

    async def add_scores(self, board: str, scores: Sequence[tuple[str, int]]) -> None:
        """Adds a board's scores, each user once; hidden users' go beside the boards."""
        for chunk in _chunks([(user, score) for user, score in scores if score > 0]):
            shares: dict[int, dict[str, int]] = {}
            for user, score in chunk:
                shares.setdefault(self._generation.part_of(user), {})[user] = score
            pipeline = self._link.client.pipeline(transaction=False)
            for number, share in shares.items():
                self._add_share(pipeline, number, board, share)
            await self._write(pipeline)

    def _add_share(self, pipeline: Any, number: int, board: str, share: dict[str, int]) -> None:
        part, counts = self._generation.parts[number], self._counts[number]
        shown = {user: -score for user, score in share.items() if user not in self._hidden}
        if shown:
            pipeline.zadd(part.board(board), shown)
            counts.members[board] += len(shown)
        for user, score in share.items():
            if user in self._hidden:
                pipeline.hset(part.hidden(user), board, score)
                counts.hidden_boards[user] += 1

    async def _write(self, pipeline: Any) -> None:
        await self._link.call(pipeline.execute(), timeout_s=_TIMEOUT_S)
        await self._pause()

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


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
