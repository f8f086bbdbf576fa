"""A gRPC channel that goes over to new credentials without failing a call.

grpc.aio's own channels keep the credentials that they were opened with for as long as they live,
also for connections that they make months later.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc
from grpc import aio

Credentials = Callable[[], grpc.ChannelCredentials]
"""Gives the newest credentials: the same object as long as they have not changed."""

READY = grpc.ChannelConnectivity.READY


class _Generation:
    """A channel with one set of credentials, and the calls under way on it."""

    def __init__(self, credentials: grpc.ChannelCredentials, channel: aio.Channel) -> None:
        self.credentials = credentials
        self.channel = channel
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def began(self, call: Any) -> None:
        """Counts a call until it has ended."""
        self._calls += 1
        self._idle.clear()
        call.add_done_callback(self._ended)

    def _ended(self, _call: object) -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    async def close_when_idle(self) -> None:
        """grpc.aio's own `close` with a grace would refuse calls that begin a moment later, which
        those that were made a moment ago do.
        """
        await self._idle.wait()
        await self.channel.close()


class RenewedChannel(aio.Channel):
    """Calls go to a channel that `open_with` has opened with the credentials.

    When these change another one is opened. It takes over once it is connected, or at once when
    the one before has no connection either; so credentials that the server does not accept break
    nothing that works. The one before is closed when its calls have ended, streams included.
    """

    def __init__(
        self, credentials: Credentials, open_with: Callable[[grpc.ChannelCredentials], aio.Channel]
    ) -> None:
        self._credentials = credentials
        self._open_with = open_with
        self._now = self._opened(credentials())
        self._next: _Generation | None = None
        self._retired: dict[asyncio.Task[None], _Generation] = {}

    def _opened(self, credentials: grpc.ChannelCredentials) -> _Generation:
        return _Generation(credentials, self._open_with(credentials))

    def _generation(self) -> _Generation:
        """What a call that begins now goes to."""
        credentials = self._credentials()
        if credentials is not (self._next or self._now).credentials:
            if self._next is not None:
                self._retire(self._next)
            self._next = self._opened(credentials)
        if self._next is not None and self._takes_over(self._next):
            self._retire(self._now)
            self._now, self._next = self._next, None
        return self._now

    def _takes_over(self, other: _Generation) -> bool:
        return (
            other.channel.get_state(try_to_connect=True) is READY
            or self._now.channel.get_state() is not READY
        )

    def _retire(self, generation: _Generation) -> None:
        closing = asyncio.create_task(generation.close_when_idle())
        self._retired[closing] = generation
        closing.add_done_callback(self._retired.pop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        closing = list(self._retired)
        generations = [self._now, self._next, *self._retired.values()]
        await asyncio.gather(*(one.channel.close(grace) for one in generations if one is not None))
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - grpc's
        return self._generation().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._generation().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._generation().channel.channel_ready()

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        return self._call(lambda channel: channel.unary_unary(*method, **options))

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        return self._call(lambda channel: channel.unary_stream(*method, **options))

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        return self._call(lambda channel: channel.stream_unary(*method, **options))

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        return self._call(lambda channel: channel.stream_stream(*method, **options))

    def _call(self, method_of: Callable[[aio.Channel], Any]) -> Callable[..., Any]:
        """The method, on the channel that is in use at each call."""
        generation, method = self._now, method_of(self._now.channel)

        def call(*request: Any, **options: Any) -> Any:
            nonlocal generation, method
            current = self._generation()
            if current is not generation:
                generation, method = current, method_of(current.channel)
            begun = method(*request, **options)
            generation.began(begun)
            return begun

        return call
