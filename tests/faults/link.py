"""One connection through a proxy, and what happens to the bytes on it."""

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

_MOST_WAITING = 256 * 1024
"""Bytes of one direction that wait here; beyond it the sender is not read."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s

Chunk = bytes | None
"""None: the sender sends no more."""


@dataclass(frozen=True)
class Mode:
    """`delay_s` with up to `jitter_s` more, `bytes_per_s` (0: unbounded), and which directions
    are `held_up` (from the client) or `held_down`: nothing is forwarded, not even the end.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    held_up: bool = False
    held_down: bool = False

    @property
    def slows(self) -> bool:
        """Whether what is not held takes longer."""
        return bool(self.delay_s or self.bytes_per_s)


PASS = Mode()
HALF_OPEN = Mode(held_up=True, held_down=True)


class Wire(Protocol):
    """The proxy, as its connections see it."""

    mode: Mode
    jitter: Callable[[], float]
    touched: int
    """Bytes that it has not passed on at once, and connections that it has reset."""

    async def connect(self, link: "Link") -> None:
        """Opens the other side of a new connection, or resets it."""

    def opened(self, link: "Link") -> None:
        """A link has a client."""

    def ended(self, link: "Link") -> None:
        """Both sides of a link are gone."""


class Link:
    """One connection through the proxy: the client's side and the server's."""

    def __init__(self, proxy: Wire) -> None:
        self.proxy = proxy
        self.is_silent = False
        self.client = Side(self, held=lambda: self.is_silent or proxy.mode.held_up)
        self.server = Side(self, held=lambda: self.is_silent or proxy.mode.held_down)
        self.client.peer, self.server.peer = self.server, self.client
        self._connecting: asyncio.Task[None] | None = None
        self._is_reset = False

    def connected(self, side: "Side") -> None:
        """A side is open."""
        if side is self.client:
            self.proxy.opened(self)
            self._connecting = asyncio.create_task(self._connect())
        elif self._is_reset:
            self.reset()
        else:
            self.client.send_due()

    def shaped(self) -> None:
        """The mode is another one."""
        for side in (self.client, self.server):
            side.reshape()

    def reset(self) -> None:
        """Ends both sides with RST and forgets what waits."""
        self.proxy.touched += 1
        self._is_reset = True
        for side in (self.client, self.server):
            side.reset()

    def finished(self) -> None:
        """A side was told that the other sends no more. When both were, nothing can come."""
        if self.client.told_end and self.server.told_end:
            for side in (self.client, self.server):
                side.close()

    def closed(self) -> None:
        """A side is gone, or never came."""
        unopened = self._connecting is None and not self.server.was_open
        if self.client.is_gone and (self.server.is_gone or unopened):
            self.proxy.ended(self)

    async def _connect(self) -> None:
        await self.proxy.connect(self)
        self._connecting = None
        self.closed()


class Side(asyncio.Protocol):
    """What one end sends, on its way to the other."""

    peer: "Side"

    def __init__(self, link: Link, held: Callable[[], bool]) -> None:
        self._link = link
        self._held = held
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, Chunk]] = deque()
        self._bytes_waiting = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._peer_is_full = False
        self.was_open = False
        self.is_gone = False
        self.told_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.was_open = True
        self._link.connected(self)

    def data_received(self, data: bytes) -> None:
        self._forward(data)

    def eof_received(self) -> bool:
        self._forward(None)
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone = True
        self._link.closed()
        if exc is not None and not self._held():
            self._link.reset()
        elif not self.peer.is_gone:
            # What it sent before still goes to the other end; when that is held, later.
            self._forward(None)

    def pause_writing(self) -> None:
        self.peer.hold_reading(full=True)

    def resume_writing(self) -> None:
        self.peer.hold_reading(full=False)

    def hold_reading(self, *, full: bool) -> None:
        """The other end takes no more for now, or again."""
        self._peer_is_full = full
        self._set_reading()

    def reset(self) -> None:
        """Ends this end with RST."""
        self._waiting.clear()
        self._bytes_waiting = 0
        if self._transport is not None and not self.is_gone:
            connection = self._transport.get_extra_info("socket")
            if connection is not None and connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    def reshape(self) -> None:
        """Judges anew when what waits is due."""
        waiting, self._waiting = self._waiting, deque()
        self._last_due = 0.0
        for _, chunk in waiting:
            self._waiting.append((self._due(chunk), chunk))
        self.send_due()

    def send_due(self) -> None:
        """Sends what is due and sets the timer for what is not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting and self.peer.was_open and not self._held():
            due, chunk = self._waiting[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self.send_due)
                break
            self._waiting.popleft()
            self._bytes_waiting -= len(chunk or b"")
            self.peer.send(chunk)
        self._set_reading()

    def send(self, chunk: Chunk) -> None:
        """To this end."""
        if self._transport is None or self._transport.is_closing():
            return
        if chunk is not None:
            self._transport.write(chunk)
        elif self.peer.is_gone:
            self.close()
        elif not self.told_end:
            self.told_end = True
            with suppress(OSError):  # it was reset just now
                self._transport.write_eof()
            self._link.finished()

    def close(self) -> None:
        """Closes this end when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def _forward(self, chunk: Chunk) -> None:
        if self._held() or self._link.proxy.mode.slows:
            self._link.proxy.touched += len(chunk or b"")
        self._waiting.append((self._due(chunk), chunk))
        self._bytes_waiting += len(chunk or b"")
        self.send_due()

    def _due(self, chunk: Chunk) -> float:
        mode = self._link.proxy.mode
        due = asyncio.get_running_loop().time() + mode.delay_s
        if mode.jitter_s:
            due += mode.jitter_s * self._link.proxy.jitter()
        if mode.bytes_per_s:
            due = max(due, self._last_due) + len(chunk or b"") / mode.bytes_per_s
        self._last_due = max(due, self._last_due)
        return self._last_due if mode != PASS else -math.inf

    def _set_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._peer_is_full or self._bytes_waiting > _MOST_WAITING:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
