"""Reads the source of a key set without holding up the process, nor its end."""

import asyncio
from contextlib import suppress
from threading import Thread

from shared.auth.key_source import KeySetError, read_source

GIVEN_UP_S = 12.0
"""How long a read is waited for."""


class SourceReader:
    """One read at a time, each in a thread of its own that nobody waits for when the process ends.
    (The event loop's own threads would be waited for, and are few.)
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._thread: Thread | None = None

    async def read(self) -> bytes:
        """What stands there now. Raises KeySetError, also when it takes too long: then no other
        read begins before that one has come to its end.
        """
        if self._thread is not None and self._thread.is_alive():
            raise KeySetError("the read before has not ended")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[bytes] = loop.create_future()
        self._thread = Thread(
            target=self._run, args=(loop, outcome), name="laurel-key-set", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:
            raise KeySetError("no thread can be started") from None
        try:
            async with asyncio.timeout(GIVEN_UP_S):
                return await outcome
        except TimeoutError:
            raise KeySetError("it takes too long") from None

    def _run(self, loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[bytes]) -> None:
        data = b""
        error: KeySetError | None = None
        try:
            data = read_source(self._source)
        except KeySetError as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001 - whatever it is, there will be a next read
            error = KeySetError(type(caught).__name__)

        def tell() -> None:
            if outcome.done():
                return  # Nobody waits any more.
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(data)

        with suppress(RuntimeError):  # The loop has ended meanwhile.
            loop.call_soon_threadsafe(tell)
