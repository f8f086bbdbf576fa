"""How fast messages go out to watchers."""

import asyncio


class Turns:
    """Lets about one message pass every `message_s`, over all boards, in the order of asking.

    So that sending takes a bounded share of the process's time, and calls are answered in between.
    """

    def __init__(self, message_s: float) -> None:
        self._message_s = message_s
        self._free_at = 0.0

    async def take(self, messages: int) -> None:
        """Returns when the messages of those who asked before have had their time."""
        now = asyncio.get_running_loop().time()
        starts_at = max(self._free_at, now)
        self._free_at = starts_at + messages * self._message_s
        if starts_at > now:
            await asyncio.sleep(starts_at - now)
