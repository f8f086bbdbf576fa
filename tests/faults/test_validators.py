"""The validators: a flawless run passes, and whatever is wrong with a run is found, as a breach of
the promise that it breaks and of no other.
"""

import pytest

from tests.faults.damages import DAMAGES, Damage, found
from tests.faults.fabricated import Told, a_run
from tests.faults.judging import judge
from tests.faults.recording import Act
from tests.faults.verdict import (
    ANSWERS,
    BOUNDS,
    CONSISTENCY,
    ERRORS,
    EXACTLY_ONCE,
    LAG,
    REDIS,
    WATCHERS,
)


def broken(told: Told) -> set[str]:
    """The promises that the run broke."""
    return {violation.promise for violation in judge(told.recorded).violations}


def test_a_flawless_run_breaks_nothing_and_everything_was_looked_at() -> None:
    verdict = judge(a_run().recorded)
    assert verdict.ok, [str(one) for one in verdict.violations] + verdict.empty


@pytest.mark.parametrize(
    ("promise", "damage"),
    [(promise, damage) for promise in DAMAGES for damage in DAMAGES[promise]],
    ids=lambda one: getattr(one, "__name__", str(one)).strip("_"),
)
def test_a_damage_is_found_as_a_breach_of_its_promise_alone(promise: str, damage: Damage) -> None:
    told = a_run()
    damage(told)
    assert broken(told) == {promise}


@pytest.mark.parametrize("fault", ["redis.flush", "kill.redis", "latency.leaderboard-redis"])
def test_a_wrong_answer_while_redis_is_in_trouble_breaks_the_promise_about_redis(
    fault: str,
) -> None:
    told = a_run()
    told.recorded.acts.append(Act(fault, "", 3.0, 4.0))
    assert judge(told.recorded).ok
    found(told, "GetTop").response.entries[0].score += 1
    assert broken(told) == {REDIS}


def test_a_run_in_which_nothing_happened_proves_nothing() -> None:
    told = Told()
    verdict = judge(told.recorded)
    assert not verdict.ok
    assert {*verdict.empty, LAG} == {
        EXACTLY_ONCE,
        ANSWERS,
        WATCHERS,
        CONSISTENCY,
        BOUNDS,
        ERRORS,
        LAG,
    }
