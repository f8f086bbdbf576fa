"""A TCP proxy for one hop, in the caller's event loop, that can be made a bad network.

What it does to the bytes is a `Mode`. A change of mode holds for connections that are open too.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.faults.link import HALF_OPEN, PASS, Link, Mode

__all__ = ["HALF_OPEN", "PASS", "Mode", "Proxy", "Target"]

Target = Path | tuple[str, int]
"""A Unix socket, or host and port."""


class Proxy:
    """Listens on 127.0.0.1 and forwards to `target`, from `start` to `close`.

    `jitter` gives numbers from 0 to 1.
    """

    def __init__(self, target: Target, port: int, jitter: Callable[[], float]) -> None:
        self.target = target
        """Where new connections go."""
        self.port = port
        self.mode = PASS
        self.jitter = jitter
        self.touched = 0
        self._resetting = False
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()

    @property
    def address(self) -> str:
        """Where clients connect, host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether new connections are forwarded."""
        return self._server is not None and not self._resetting

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    async def start(self) -> None:
        """Accepts connections; also after `refuse`."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Link(self).client, "127.0.0.1", self.port, reuse_address=True
            )

    async def close(self) -> None:
        """Resets every connection and refuses new ones."""
        await self.refuse()

    def shape(self, mode: Mode) -> None:
        """From now on bytes are treated so; those that wait, too."""
        self.mode = mode
        for link in tuple(self._links):
            link.shaped()

    def silence(self) -> None:
        """Nothing passes any more on the connections that are open, for good; new ones are not
        concerned.
        """
        for link in tuple(self._links):
            link.is_silent = True

    def reset(self) -> None:
        """Ends every connection with RST."""
        for link in tuple(self._links):
            link.reset()

    def keep_resetting(self) -> None:
        """Ends every connection with RST, also new ones until `heal`."""
        self._resetting = True
        self.reset()

    async def refuse(self) -> None:
        """As if nothing listened here: connections end with RST, new ones are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.reset()

    async def heal(self, *, close_held: bool = False) -> None:
        """Passes everything on again; what was held goes on, or with `close_held` is reset."""
        self._resetting = False
        if close_held and (self.mode.held_up or self.mode.held_down):
            self.reset()
        self.shape(PASS)
        await self.start()

    async def connect(self, link: Link) -> None:
        """Opens the other side of a new connection."""
        if self._resetting:
            link.reset()
            return
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self.target, Path):
                await loop.create_unix_connection(lambda: link.server, str(self.target))
            else:
                await loop.create_connection(lambda: link.server, *self.target)
        except OSError:
            link.reset()

    def opened(self, link: Link) -> None:
        """A link has a client."""
        self._links.add(link)

    def ended(self, link: Link) -> None:
        """Both sides of a link are gone."""
        self._links.discard(link)
