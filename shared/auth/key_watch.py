"""The key set of an identity provider, kept fresh."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog
from jwt import PyJWK

from shared import metrics
from shared.auth.key_set import NO_KEYS, parse_key_set
from shared.auth.key_source import KeySetError, is_url
from shared.auth.source_reader import SourceReader
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

FILE_EVERY_S = 2.0
MAX_WAITING = 1_000
WAIT_S = 15.0
_URL_PAUSE_S = 2.0
_FILE_PAUSE_S = 0.2
_LONGEST_RETRY_S = 60.0


class KeyWatch:
    """Reads the key set again and again: at its interval, and when a token needs a key that is
    not there. What was read last stays in force while it cannot be read.

    `changed` is called when a new set has taken the old one's place, before anyone uses it.
    """

    def __init__(self, source: str, every_s: float, changed: Callable[[], None]) -> None:
        self._reader = SourceReader(source)
        self._every_s = every_s if is_url(source) else min(every_s, FILE_EVERY_S)
        self._pause_s = _URL_PAUSE_S if is_url(source) else _FILE_PAUSE_S
        self._changed = changed
        self._keys = NO_KEYS
        self._data = b""
        self._failures = 0
        self._wanted = asyncio.Event()
        self._read_ended = asyncio.Event()
        self._waiting = 0
        self.reads_begun = 0
        self.fresh = False
        """Whether the last read gave a key set."""

    def candidates(self, algorithm: str, key_id: str | None) -> Sequence[PyJWK]:
        """The keys at hand that may have signed such a token."""
        return self._keys.candidates(algorithm, key_id)

    async def next_read(self) -> int:
        """Asks for a read, and returns when one ends: its number, as `reads_begun` counts.

        However many wait, it is one read, and at most one in two seconds. Raises Unavailable
        (KEYS_UNAVAILABLE) when too many wait, or it takes too long.
        """
        if self._waiting >= MAX_WAITING:
            raise keys_unavailable()
        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(WAIT_S):
                await self._read_ended.wait()
        except TimeoutError:
            raise keys_unavailable() from None
        finally:
            self._waiting -= 1
        return self.reads_begun

    async def run(self) -> None:
        """Keeps the set fresh, for ever."""
        while True:
            self._wanted.clear()
            self.reads_begun += 1
            await self._read()
            ended, self._read_ended = self._read_ended, asyncio.Event()
            ended.set()
            await asyncio.sleep(self._pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_next_s()):
                    await self._wanted.wait()

    def _until_next_s(self) -> float:
        """What is left of the interval, or after failures of a growing one, when the least pause
        is over; not in step with other processes.
        """
        retry_s = min(2.0 ** min(self._failures, 10), _LONGEST_RETRY_S)
        interval_s = min(self._every_s, retry_s) if self._failures else self._every_s
        return interval_s * random.uniform(0.8, 1.0) - self._pause_s

    async def _read(self) -> None:
        try:
            self._take(await self._reader.read())
        except KeySetError as error:
            self._fail(str(error))

    def _take(self, data: bytes) -> None:
        if data != self._data:
            keys = parse_key_set(data)
            self._keys, self._data = keys, data
            self._changed()
            log.info("the key set that tokens are verified with is new", keys=len(keys))
        elif self._failures:
            log.info("the key set can be read again")
        self._failures, self.fresh = 0, True
        metrics.AUTH_KEYS_READ_TIME.set_to_current_time()

    def _fail(self, why: str) -> None:
        self.fresh = False
        self._failures += 1
        metrics.AUTH_KEYS_FAILURES.inc()
        if self._failures == 1:
            in_force = "the last one" if self._data else "none"
            log.warning("LAUREL_AUTH_JWKS cannot be read", error=why, in_force=in_force)


def keys_unavailable() -> Unavailable:
    """The token may be valid: the keys that would tell cannot be had."""
    return Unavailable(
        "KEYS_UNAVAILABLE",
        "The keys that tokens are verified with cannot be read at present.",
        retry_delay_s=1.0,
    )
