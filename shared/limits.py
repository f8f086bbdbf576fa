"""How much one caller may do at once and in a second, in this process."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared import metrics
from shared.errors import ResourceExhausted
from shared.identity import Identity, Role
from shared.settings import ServiceSettings

# A caller that does nothing for so long has its full allowance again, and is forgotten.
_FORGET_EVERY_S = 10.0
# A call over a bound is answered about this late: whoever waits for answers cannot ask oftener.
# Not all at one time, or they would come again at one time.
_PAUSE_S = 0.5
_MAX_PAUSED = 2_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller of one role may do; 0 is no bound."""

    calls_per_second: float
    concurrent_calls: int
    streams: int

    @property
    def burst(self) -> float:
        """Calls that may come at once after a rest."""
        return max(2 * self.calls_per_second, 1.0)


class Usage:
    """What one caller does now."""

    __slots__ = ("allowance", "calls", "filled", "left", "streams")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self.allowance = allowance
        self.calls = 0
        self.streams = 0
        self.left = allowance.burst
        self.filled = now

    def refill(self, now: float) -> None:
        """Brings `left` up to date."""
        gained = (now - self.filled) * self.allowance.calls_per_second
        self.left = min(self.left + gained, self.allowance.burst)
        self.filled = now

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it changes nothing."""
        return not self.calls and not self.streams and self.left >= self.allowance.burst


class Limits:
    """The usage of every caller that is bounded. Administrators are not, and neither is anyone
    where authentication is off: nothing tells one caller from another.
    """

    def __init__(
        self, settings: ServiceSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowances = {
            Role.USER: Allowance(
                settings.user_calls_per_second,
                settings.user_concurrent_calls,
                settings.user_streams,
            ),
            Role.SERVICE: Allowance(
                settings.service_calls_per_second,
                settings.service_concurrent_calls,
                settings.service_streams,
            ),
        }
        self._clock = clock
        self._usages: dict[tuple[Role, str], Usage] = {}
        self._forget_at = clock() + _FORGET_EVERY_S
        self._paused = 0

    def usage_of(self, identity: Identity) -> Usage | None:
        """What the caller does now; None when it has no bounds."""
        allowance = self._allowances.get(identity.role)
        if allowance is None:
            return None
        now = self._clock()
        if now >= self._forget_at:
            self._forget(now)
        key = (identity.role, identity.subject)
        usage = self._usages.get(key)
        if usage is None:
            usage = self._usages[key] = Usage(allowance, now)
        return usage

    def take(self, usage: Usage, *, stream: bool) -> None:
        """Counts one more call of the caller, which ends with `give_back`.

        Raises ResourceExhausted: TOO_MANY_CALLS (in a second), TOO_MANY_CONCURRENT_CALLS or
        TOO_MANY_STREAMS; nothing is counted then.
        """
        allowance = usage.allowance
        if stream and allowance.streams and usage.streams >= allowance.streams:
            raise _exhausted("TOO_MANY_STREAMS", "streams open", allowance.streams)
        if not stream and allowance.concurrent_calls and usage.calls >= allowance.concurrent_calls:
            raise _exhausted(
                "TOO_MANY_CONCURRENT_CALLS", "calls under way", allowance.concurrent_calls
            )
        if allowance.calls_per_second:
            usage.refill(self._clock())
            if usage.left < 1.0:
                raise _too_fast(usage)
            usage.left -= 1.0
        if stream:
            usage.streams += 1
        else:
            usage.calls += 1

    def give_back(self, usage: Usage, *, stream: bool) -> None:
        """A call that `take` counted has ended."""
        if stream:
            usage.streams -= 1
        else:
            usage.calls -= 1

    async def pause(self, remaining_s: float | None) -> None:
        """Lets a while pass before a call over a bound is refused, within its deadline.

        So a caller that asks again at once is slowed to what it may, and costs others nothing. Of
        those that wait so there is a bound; beyond it refusals are not delayed.
        """
        if self._paused >= _MAX_PAUSED:
            return
        pause_s = _PAUSE_S * random.uniform(0.5, 1.5)
        self._paused += 1
        try:
            await asyncio.sleep(pause_s if remaining_s is None else min(pause_s, remaining_s / 2))
        finally:
            self._paused -= 1

    def _forget(self, now: float) -> None:
        self._forget_at = now + _FORGET_EVERY_S
        for usage in self._usages.values():
            usage.refill(now)
        self._usages = {key: one for key, one in self._usages.items() if not one.is_idle}


def _too_fast(usage: Usage) -> ResourceExhausted:
    rate = usage.allowance.calls_per_second
    metrics.CALLS_LIMITED.labels("TOO_MANY_CALLS").inc()
    return ResourceExhausted(
        "TOO_MANY_CALLS",
        f"You may make {rate:g} calls per second.",
        metadata={"calls_per_second": f"{rate:g}"},
        retry_delay_s=max((1.0 - usage.left) / rate, 0.001),
    )


def _exhausted(reason: str, what: str, bound: int) -> ResourceExhausted:
    metrics.CALLS_LIMITED.labels(reason).inc()
    return ResourceExhausted(
        reason,
        f"You may have {bound} {what} at once.",
        metadata={"bound": str(bound)},
        retry_delay_s=1.0,
    )
