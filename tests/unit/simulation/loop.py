"""An event loop whose time is made up, and whose order of events a seed decides."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WALL_S = 1_795_000_000.0
"""The time of day when `time()` is 0: in November 2026."""
MOST_STEPS = 10_000
"""Until all is well; it takes one or two thousand, unless someone tries again at once for ever."""
OWNER: ContextVar[str] = ContextVar("owner")
"""In whose process a task runs; not set for what is not in one."""

Event = tuple[float, str, str, object]
"""(time, who, what, details)."""


class Stuck(Exception):
    """Nothing is left that could happen, or too much happens."""


class _Handle(asyncio.TimerHandle):
    """What is to be called; kept small, since most of the time goes into these."""

    __slots__ = ()

    def __init__(  # the base class looks for debug modes and stacks
        self, when: float, callback: Callable[..., object], args: Any, context: Context | None
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs what is ready one by one, in an order drawn at random; when nothing is, it is the time
    of the next timer. So whatever does not await takes no time, and two things that happen at one
    time happen in any order.

    `log` is told of everything that happened, in order.
    """

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.log: list[Event] = []
        self.errors: list[BaseException | str] = []
        """What went wrong in the code that runs and that nobody caught."""
        self.stopped: set[str] = set()
        """Owners whose tasks stand still, as if by SIGSTOP."""
        self.steps = 0
        self._now = 1_000.0
        self._draw = self.random.random
        self._ready: list[_Handle] = []
        self._held: list[_Handle] = []
        self._timers: list[tuple[float, int, _Handle]] = []
        self._timer_count = 0

    def note(self, who: str, what: str, details: object = "") -> None:
        """Adds to the log."""
        self.log.append((self._now, who, what, details))

    def run_until(self, done: Callable[[], bool], deadline: float = float("inf")) -> bool:
        """Lets things happen until `done`, which is asked each time that the clock goes on;
        whether that came before the deadline.
        """
        asyncio._set_running_loop(self)
        try:
            while True:
                while self._ready:
                    self._step()
                    self.steps += 1
                if self.steps > MOST_STEPS:
                    raise Stuck(f"more than {MOST_STEPS} steps")
                if done():
                    return True
                if not self._timers:
                    raise Stuck("nothing is left that could happen")
                if self._timers[0][0] > deadline:
                    return False
                self._now = max(self._now, self._timers[0][0])
                while self._timers and self._timers[0][0] <= self._now:
                    self._ready.append(heappop(self._timers)[2])
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        ready = self._ready
        if len(ready) > 1:
            drawn = int(self._draw() * len(ready))
            ready[drawn], ready[-1] = ready[-1], ready[drawn]
        handle = ready.pop()
        if handle._cancelled:
            return
        if self.stopped and handle._context.get(OWNER, "") in self.stopped:
            self._held.append(handle)
            return
        try:
            handle._context.run(handle._callback, *handle._args)
        except Exception as error:  # noqa: BLE001 - whoever runs the loop is told
            self.errors.append(error)

    def go_on(self, owner: str) -> None:
        """The owner's tasks go on; what has come for them meanwhile is all there at once."""
        self.stopped.discard(owner)
        self._ready += self._held
        self._held = []

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(self._now, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = _Handle(when, callback, args, context)
        self._timer_count += 1
        heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context.get("exception") or str(context.get("message")))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False


def new_loop(seed: str) -> VirtualLoop:
    """What else a loop can do is asked of none here, and not made."""
    kind: Any = VirtualLoop
    return cast("VirtualLoop", kind(seed))


def current_loop() -> VirtualLoop:
    """The loop that runs."""
    return cast("VirtualLoop", asyncio.get_running_loop())
