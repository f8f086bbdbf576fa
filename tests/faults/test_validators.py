"""The validators: a flawless run passes, and whatever is wrong with a run is found, as a breach of
the promise that it breaks and of no other.
"""

from dataclasses import replace

import pytest

from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.damages import DAMAGES, found
from tests.faults.damages_bounds import Damage, fails
from tests.faults.fabricated import Told, a_run
from tests.faults.judging import judge
from tests.faults.recording import Act
from tests.faults.validators.bounds import INSIDE, OF_BOUNDS, PLANTED
from tests.faults.verdict import (
    ANSWERS,
    BOUNDS,
    CONSISTENCY,
    ERRORS,
    EXACTLY_ONCE,
    LAG,
    REDIS,
    RESTORE,
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
    told.recorded.acts.append(Act(fault, "", 3.0, 4.0, effect="something"))
    assert judge(told.recorded).ok
    found(told, "GetTop").response.entries[0].score += 1
    assert broken(told) == {REDIS}


def test_a_run_in_which_nothing_happened_proves_nothing() -> None:
    told = Told()
    verdict = judge(told.recorded)
    assert not verdict.ok
    assert {*(missing.split(":")[0] for missing in verdict.empty), LAG} == {
        EXACTLY_ONCE,
        ANSWERS,
        WATCHERS,
        CONSISTENCY,
        BOUNDS,
        ERRORS,
        RESTORE,
        LAG,
    }


@pytest.mark.parametrize("word", INSIDE)
def test_an_error_with_a_word_of_the_inside_breaks_the_promise_about_errors(word: str) -> None:
    told = a_run()
    fails(told, "UNAVAILABLE", "DRAINING", f"because of {word} and so on")
    assert broken(told) == {ERRORS}


@pytest.mark.parametrize("reason", OF_BOUNDS)
def test_a_run_in_which_a_bound_was_not_met_proves_nothing_about_it(reason: str) -> None:
    told = a_run()
    for number, call in enumerate(told.recorded.calls):
        if call.failure is not None and call.failure.reason == reason:
            other = replace(call.failure, code="UNAVAILABLE", reason="DRAINING")
            told.recorded.calls[number] = replace(call, failure=other)
    for stream in told.recorded.streams:
        if stream.failure is not None and stream.failure.reason == reason:
            stream.failure = replace(stream.failure, reason="DRAINING")
    verdict = judge(told.recorded)
    assert (verdict.violations, verdict.empty) == ([], [f"{BOUNDS}: {reason}"])


@pytest.mark.parametrize("service", ["CatalogService", "LeaderboardService", "ProgressService"])
def test_a_run_in_which_nothing_planted_failed_proves_nothing_about_errors(service: str) -> None:
    told = a_run()
    told.recorded.calls = [call for call in told.recorded.calls if call.service != service]
    verdict = judge(told.recorded)
    assert (verdict.violations, verdict.empty) == ([], [f"{ERRORS}: {PLANTED}{service}"])


def test_a_fault_of_which_nothing_was_to_be_seen_proves_nothing() -> None:
    told = a_run()
    told.recorded.acts.append(Act("kill.progress", "progress-0", 3.0, 4.0))
    assert judge(told.recorded).empty == ["kill.progress of progress-0"]
    told.recorded.acts.append(Act("kill.postgres", "postgres", 3.5, 5.0))
    assert judge(told.recorded).ok, "one may have hidden the other"


def test_a_pruned_history_proves_nothing_without_a_reader_who_was_cut_off_and_went_on() -> None:
    told = a_run()
    told.recorded.acts.append(Act("history.pruned", "", 3.0, 4.0, effect="all of it"))
    cut = f"{WATCHERS}: ended with HISTORY_TRUNCATED"
    on = f"{WATCHERS}: went on after a history that was cut"
    assert judge(told.recorded).empty == [cut, on]
    told.watch(reason="OUT_OF_RANGE/HISTORY_TRUNCATED")
    assert judge(told.recorded).empty == [on]
    told.watch(types_pb2.Position(epoch="e1", sequence=5))
    assert judge(told.recorded).ok
