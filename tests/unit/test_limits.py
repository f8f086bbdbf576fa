"""How much one caller may do: the bucket, what is under way, and who shares nothing."""

import asyncio
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.errors import ResourceExhausted
from shared.identity import ANYONE, Identity, Role
from shared.limits import Limits, Usage
from shared.settings import ServiceSettings

ANN = Identity("ann", Role.USER)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock, **settings: float) -> Limits:
    given = {"user_calls_per_second": 10, "user_concurrent_calls": 3, "user_streams": 2}
    return Limits(ServiceSettings(**(given | settings)), clock)  # type: ignore[arg-type]


def usage(bounds: Limits, identity: Identity = ANN) -> Usage:
    found = bounds.usage_of(identity)
    assert found is not None
    return found


def call(bounds: Limits, identity: Identity = ANN) -> None:
    """A call that is over at once."""
    bounds.take(usage(bounds, identity), stream=False)
    bounds.give_back(usage(bounds, identity), stream=False)


def refusal(bounds: Limits, *, stream: bool = False, identity: Identity = ANN) -> ResourceExhausted:
    with pytest.raises(ResourceExhausted) as caught:
        bounds.take(usage(bounds, identity), stream=stream)
    return caught.value


def test_a_rested_caller_may_call_for_two_seconds_at_once_and_then_at_the_rate() -> None:
    clock = Clock()
    bounds = made(clock)
    for _ in range(20):
        call(bounds)
    error = refusal(bounds)
    assert (error.reason, error.metadata) == ("TOO_MANY_CALLS", {"calls_per_second": "10"})
    assert error.retry_delay_s == pytest.approx(0.1)
    clock.now += 0.1
    call(bounds)
    refusal(bounds)


def test_whoever_waits_as_told_is_let_in() -> None:
    clock = Clock()
    bounds = made(clock, user_calls_per_second=0.4)
    call(bounds)
    for _ in range(5):
        delay_s = refusal(bounds).retry_delay_s
        assert delay_s is not None
        clock.now += delay_s + 1e-9
        call(bounds)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300))
def test_never_more_pass_than_the_burst_and_the_rate_allow(pauses: list[float]) -> None:
    clock = Clock()
    bounds = made(clock)
    passed = 0
    for pause in pauses:
        clock.now += pause
        with suppress(ResourceExhausted):
            call(bounds)
            passed += 1
        assert passed <= 20 + 10 * (clock.now - 1000.0) + 1e-6


def test_calls_under_way_and_streams_are_counted_apart_until_they_end() -> None:
    bounds = made(Clock(), user_calls_per_second=0)
    for _ in range(3):
        bounds.take(usage(bounds), stream=False)
    for _ in range(2):
        bounds.take(usage(bounds), stream=True)
    assert refusal(bounds).reason == "TOO_MANY_CONCURRENT_CALLS"
    assert refusal(bounds, stream=True).reason == "TOO_MANY_STREAMS"
    bounds.give_back(usage(bounds), stream=False)
    bounds.take(usage(bounds), stream=False)
    bounds.give_back(usage(bounds), stream=True)
    bounds.take(usage(bounds), stream=True)


def test_a_refused_call_costs_nothing_of_the_allowance() -> None:
    clock = Clock()
    bounds = made(clock)
    for _ in range(3):
        bounds.take(usage(bounds), stream=False)
    for _ in range(100):
        refusal(bounds)
    for _ in range(3):
        bounds.give_back(usage(bounds), stream=False)
    for _ in range(17):
        call(bounds)
    refusal(bounds)


def test_one_subject_takes_nothing_from_another_nor_from_its_namesake_of_another_role() -> None:
    bounds = made(Clock(), service_calls_per_second=1)
    for _ in range(20):
        call(bounds)
    refusal(bounds)
    call(bounds, Identity("bob", Role.USER))
    call(bounds, Identity("ann", Role.SERVICE))


def test_administrators_and_those_who_need_no_token_have_no_bounds() -> None:
    bounds = made(Clock())
    assert bounds.usage_of(ANYONE) is None
    assert bounds.usage_of(Identity("root", Role.ADMIN)) is None


def test_0_is_no_bound() -> None:
    bounds = made(Clock(), user_calls_per_second=0, user_concurrent_calls=0, user_streams=0)
    for _ in range(10_000):
        bounds.take(usage(bounds), stream=False)
        bounds.take(usage(bounds), stream=True)


def test_who_rests_is_forgotten_and_who_is_under_way_or_exhausted_is_not() -> None:
    clock = Clock()
    bounds = made(clock)
    for number in range(1_000):
        call(bounds, Identity(f"user{number}", Role.USER))
    bounds.take(usage(bounds), stream=True)
    clock.now += 60
    greedy = Identity("greedy", Role.USER)
    for _ in range(20):
        call(bounds, greedy)
    clock.now += 0.05
    bounds.usage_of(ANN)
    assert {subject for _, subject in bounds._usages} == {"ann", "greedy"}
    refusal(bounds, identity=greedy)


async def test_a_refusal_waits_within_the_deadline_and_no_more_than_some_wait() -> None:
    bounds = made(Clock())

    async def took(remaining_s: float | None) -> float:
        began = time.perf_counter()
        await bounds.pause(remaining_s)
        return time.perf_counter() - began

    assert await took(0.02) < 0.2
    waiting = [asyncio.create_task(bounds.pause(None)) for _ in range(limits._MAX_PAUSED)]
    await asyncio.sleep(0)
    assert await took(None) < 0.2
    await asyncio.gather(*waiting)
    assert await took(None) >= 0.2
