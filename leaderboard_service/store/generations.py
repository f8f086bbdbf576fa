"""Which generation of boards is read: known in memory, written in one place in Redis."""

import asyncio

from leaderboard_service.store import keys
from leaderboard_service.store.client import RedisLink, Script
from leaderboard_service.store.keys import Generation


class LockLost(Exception):
    """Someone else builds boards."""


class Generations:
    """The pointer to the generation that is read, the lock of who builds one, and sweeping."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._release = Script("release")
        self._renew = Script("renew")
        self._recovering = asyncio.Lock()
        self.current: Generation | None = None
        """The generation to read, as last seen; None when there is none."""

    async def refresh(self) -> Generation | None:
        """Looks the pointer up. Raises RedisUnavailable."""
        found = await self._link.call(self._link.client.get(keys.GENERATION))
        if found is None:
            self.current = None
        elif self.current is None or self.current.id != found:
            self.current = Generation(str(found))
        return self.current

    async def publish(self, generation: Generation) -> None:
        """Makes it the one that is read, in a single write."""
        await self._link.call(self._link.client.set(keys.GENERATION, generation.id))
        self.current = generation

    async def retire(self, generation: Generation) -> None:
        """Makes a broken generation gone for every reader and follower; a rebuild deletes it."""
        if self.current == generation:
            self.current = None
        await self._unlink_metas(generation)
        await self._link.run(self._release, [keys.GENERATION], [generation.id])

    async def recover(self, gone: Generation) -> Generation | None:
        """What is read instead of a generation that was found gone or broken, which is retired.

        Many may find that at once; one of them looks. Raises RedisUnavailable.
        """
        async with self._recovering:
            if self.current is None or self.current == gone:
                await self.retire(gone)
                found = await self._link.call(self._link.client.get(keys.GENERATION))
                self.current = None if found in (None, gone.id) else Generation(str(found))
        return self.current

    async def lock(self, generation: Generation, ttl_s: float) -> bool:
        """Whether nobody else is building; the lock lapses after `ttl_s` unless renewed."""
        taken = await self._link.call(
            self._link.client.set(keys.REBUILD, generation.id, nx=True, px=int(ttl_s * 1000))
        )
        return bool(taken)

    async def renew(self, generation: Generation, ttl_s: float) -> None:
        """Keeps the lock for another `ttl_s`.

        Raises LockLost when it is not this generation's any more: whoever builds since then
        deletes what others have built.
        """
        arguments = [generation.id, int(ttl_s * 1000)]
        if not await self._link.run(self._renew, [keys.REBUILD], arguments):
            raise LockLost("another process builds, or the keys were cleared")

    async def unlock(self, generation: Generation) -> None:
        """Gives the lock back, if it is still this generation's."""
        await self._link.run(self._release, [keys.REBUILD], [generation.id])

    async def drop(self, generation: Generation) -> int:
        """Deletes a generation, its metas first, so that nobody reads half of it."""
        await self._unlink_metas(generation)
        return await self._drop_matching(generation.pattern)

    async def clear(self) -> int:
        """Deletes every key of this service; the number of keys."""
        self.current = None
        return await self._drop_matching(keys.ALL_KEYS)

    async def all(self) -> set[Generation]:
        """Every generation that has keys, read or not."""
        ids: set[str] = set()
        async for names in self._link.scan(keys.PART_KEYS):
            ids.update(id_ for name in names if (id_ := keys.generation_of(name)))
        return {Generation(id_) for id_ in ids}

    async def orphans(self) -> set[Generation]:
        """Generations that are neither read nor being built (or were a moment ago)."""
        found = await self.all()
        client = self._link.client
        used = {
            await self._link.call(client.get(keys.REBUILD)),
            await self._link.call(client.get(keys.GENERATION)),
        }
        return {generation for generation in found if generation.id not in used}

    async def _unlink_metas(self, generation: Generation) -> None:
        await self._link.unlink([part.meta for part in generation.parts])

    async def _drop_matching(self, pattern: str) -> int:
        dropped = 0
        async for names in self._link.scan(pattern):
            dropped += await self._link.unlink(names)
        return dropped
