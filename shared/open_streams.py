"""Streams end when the token that they were opened with is not valid any more."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.auth.authenticator import Authenticator
from shared.caller import Caller
from shared.errors import Unauthenticated
from shared.identity import Identity


class OpenStream:
    """A stream under way, and how it is ended."""

    def __init__(self, authorization: str, life: asyncio.Timeout) -> None:
        self.authorization = authorization
        self.refused: Unauthenticated | None = None
        self._life = life

    def end(self, refused: Unauthenticated) -> None:
        """Ends it for this reason, unless it is ending."""
        if not (self.refused or self._life.expired()):
            self.refused = refused
            self._life.reschedule(asyncio.get_running_loop().time())


class OpenStreams:
    """The streams that were opened with tokens of `authenticator`."""

    def __init__(self) -> None:
        self._open: set[OpenStream] = set()
        self._keys_changed = asyncio.Event()

    def keys_changed(self) -> None:
        """The keys that tokens are verified with are others now."""
        self._keys_changed.set()

    @asynccontextmanager
    async def while_valid(self, caller: Caller) -> AsyncIterator[None]:
        """Ends what is done within when the caller's token ends: Unauthenticated (TOKEN_EXPIRED),
        or is refused since the keys have changed (TOKEN_INVALID).
        """
        if math.isinf(caller.identity.expires):
            yield
            return
        life = asyncio.timeout(_left_s(caller.identity))
        stream = OpenStream(caller.authorization, life)
        try:
            async with life:
                self._open.add(stream)
                try:
                    yield
                finally:
                    self._open.discard(stream)
        except TimeoutError:
            if not life.expired():
                raise
            raise (stream.refused or _expired()) from None

    async def run(self, authenticator: Authenticator) -> None:
        """Verifies the tokens of all open streams again whenever the keys have changed, for
        ever.
        """
        while True:
            await self._keys_changed.wait()
            self._keys_changed.clear()
            for stream in tuple(self._open):
                refused = authenticator.refusal(stream.authorization)
                if refused is not None and stream in self._open:
                    stream.end(refused)
                # A signature takes a while to verify, and there may be thousands.
                await asyncio.sleep(0)


def _left_s(identity: Identity) -> float:
    return identity.expires - time.time()


def _expired() -> Unauthenticated:
    return Unauthenticated("TOKEN_EXPIRED", "The token has expired: call again.")
