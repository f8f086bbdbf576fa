"""Plans: what follows from a seed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.faults import FAULTS
from tests.faults.hops import HOPS
from tests.faults.schedule import Plan, make_plan

_DURATION_S = 8.0
_SEEDS = st.integers(0, 10**9)
_POSSIBLE = sorted(name for name, kind in FAULTS.items() if kind.is_possible())


@given(_SEEDS, st.floats(1.0, 60.0))
def test_the_same_seed_gives_the_same_plan(seed: int, duration_s: float) -> None:
    assert make_plan(seed, duration_s) == make_plan(seed, duration_s)


def test_each_fault_is_alone_for_one_of_as_many_seeds_as_there_are_faults() -> None:
    plans = [make_plan(seed, _DURATION_S) for seed in range(len(_POSSIBLE))]
    assert sorted(_names(plan) for plan in plans) == [[name] for name in _POSSIBLE]


def test_each_fault_meets_others_for_one_of_as_many_seeds_that_follow() -> None:
    seeds = range(len(_POSSIBLE), 2 * len(_POSSIBLE))
    plans = [make_plan(seed, _DURATION_S) for seed in seeds]
    assert {len(plan.faults) for plan in plans} == {2, 3}
    assert {name for plan in plans for name in _names(plan)} == set(_POSSIBLE)
    assert len({tuple(_names(plan)) for plan in plans}) > len(plans) / 2


@given(_SEEDS)
def test_faults_at_once_overlap_and_concern_different_parts(seed: int) -> None:
    planned = make_plan(seed, _DURATION_S).faults
    for one, other in pairwise(planned):
        assert one.at < other.at < one.at + one.hold_s
    concerned = [part for one in planned for part in FAULTS[one.fault].concerns]
    assert len(concerned) == len(set(concerned))


@given(_SEEDS, st.floats(1.0, 60.0))
def test_everything_lies_within_the_run(seed: int, duration_s: float) -> None:
    for one in make_plan(seed, duration_s).faults:
        assert 0 < one.at - one.lead_s < one.at < one.at + one.hold_s < duration_s


@pytest.mark.parametrize("name", _POSSIBLE)
def test_a_fault_that_is_asked_for_is_the_only_one(name: str) -> None:
    plan = make_plan(7, _DURATION_S, name)
    assert _names(plan) == [name]
    assert plan.replicas == FAULTS[name].replicas
    assert plan.settings == FAULTS[name].settings
    assert _names(make_plan(7, 5 * _DURATION_S, name)) == [name] * 5


def test_every_part_and_every_hop_is_hurt() -> None:
    parts = ("progress", "leaderboard", "postgres", "redis")
    wanted = {f"{what}.{part}" for what in ("kill", "freeze") for part in parts}
    wanted |= {
        f"{what}.{hop}" for what in ("latency", "reset", "half_open", "throttle") for hop in HOPS
    }
    assert wanted <= FAULTS.keys()


def _names(plan: Plan) -> list[str]:
    return [one.fault for one in plan.faults]
