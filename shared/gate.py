"""What a call passes before it reaches its servicer: identity, role, bounds."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from shared.auth.authenticator import Authenticator
from shared.caller import Caller
from shared.errors import ResourceExhausted, Unavailable
from shared.identity import ANYONE, Identity, Role
from shared.limits import Limits, Usage
from shared.load import Load
from shared.open_streams import OpenStreams
from shared.settings import ServiceSettings

MAX_USER_REQUEST_BYTES = 65_536


class Stay:
    """A call that is counted against its caller's bounds, if it has any; and against those of this
    process once it has begun.
    """

    __slots__ = ("_begun", "_limits", "_load", "_role", "_stream", "_usage")

    def __init__(
        self, limits: Limits, usage: Usage | None, load: Load, role: Role, *, stream: bool
    ) -> None:
        self._limits = limits
        self._usage = usage
        self._load = load
        self._role = role
        self._stream = stream
        self._begun = False

    def begin(self) -> None:
        """It begins to do something. Raises ResourceExhausted (SERVER_BUSY)."""
        self._load.begin(self._role)
        self._begun = True

    def end(self) -> None:
        """It counts no more."""
        if self._begun:
            self._load.end()
        if self._usage is not None:
            self._limits.give_back(self._usage, stream=self._stream)


def check_size(identity: Identity, data: bytes) -> None:
    """Raises ResourceExhausted (REQUEST_TOO_LARGE) when a user sends more than an app needs to."""
    if identity.role is Role.USER and len(data) > MAX_USER_REQUEST_BYTES:
        raise ResourceExhausted(
            "REQUEST_TOO_LARGE",
            f"The request has {len(data)} bytes; a user's may have {MAX_USER_REQUEST_BYTES}.",
            metadata={"max_bytes": str(MAX_USER_REQUEST_BYTES)},
        )


class Gate:
    """Identity by token, unless authentication is off; then the rules and bounds for it."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._streams = OpenStreams()
        self._authenticator: Authenticator | None = None
        if settings.auth == "on":
            self._authenticator = Authenticator(settings, self._streams.keys_changed)
        self._limits = Limits(settings)
        self._calls_load = Load("calls", settings.max_concurrent_calls)
        self._streams_load = Load("streams", settings.max_streams)
        self.starting = False
        """Whether this process cannot do anything yet."""

    async def run(self) -> None:
        """Keeps the keys fresh that tokens are verified with, and holds open streams to them."""
        if self._authenticator is not None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._streams.run(self._authenticator))
                group.create_task(self._authenticator.run())

    def while_valid(self, caller: Caller) -> AbstractAsyncContextManager[None]:
        """Within it the caller's stream lasts as long as its token: see `OpenStreams`."""
        return self._streams.while_valid(caller)

    async def identify(self, caller: Caller) -> Identity:
        """Who calls; the caller knows from then on. Raises Unauthenticated or Unavailable."""
        if self._authenticator is None:
            identity = ANYONE
        else:
            authorization = caller.authorization
            identity = self._authenticator.known(
                authorization
            ) or await self._authenticator.identify(authorization)
        caller.identity = identity
        return identity

    async def enter(self, identity: Identity, context: Any, *, stream: bool) -> Stay:
        """Counts the call against its caller's bounds until the stay ends.

        Raises Unavailable (STARTING), and ResourceExhausted, late: see `Limits.pause`.
        """
        if self.starting:
            raise Unavailable("STARTING", "This server is starting.", retry_delay_s=1.0)
        usage = self._limits.usage_of(identity)
        if usage is not None:
            try:
                self._limits.take(usage, stream=stream)
            except ResourceExhausted:
                await self._limits.pause(context.time_remaining())
                raise
        load = self._streams_load if stream else self._calls_load
        return Stay(self._limits, usage, load, identity.role, stream=stream)
