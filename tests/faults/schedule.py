"""Plans that follow from a seed alone."""

from random import Random

from tests.faults.faults import FAULTS
from tests.faults.plan import Plan, Planned

__all__ = ["Plan", "Planned", "make_plan"]

_ROUND_S = 8.0
_MOST_AT_ONCE = 3


def make_plan(seed: int, duration_s: float, only: str | None = None) -> Plan:
    """Of as many seeds in a row as there are faults, each fault is alone once; the same number of
    seeds that follow have two or three that overlap, and so on. A long run repeats that in rounds.
    `only`: that fault alone.
    """
    chance = Random(f"schedule/{seed}")
    names = sorted(name for name, kind in FAULTS.items() if kind.is_possible())
    turn, number = divmod(seed, len(names))
    rounds = max(int(duration_s / _ROUND_S), 1)
    planned: list[Planned] = []
    for round_ in range(rounds):
        if only is not None:
            chosen = [only]
        elif turn % 2 == 0:
            chosen = [names[number]]
        else:
            chosen = _compatible(names, names[number], chance)
        planned += _timed(chosen, round_ * duration_s / rounds, duration_s / rounds, chance)
    kinds = [FAULTS[one.fault] for one in planned]
    return Plan(
        seed,
        duration_s,
        tuple(planned),
        replicas=max(kind.replicas for kind in kinds),
        settings={name: text for kind in kinds for name, text in kind.settings.items()},
    )


def _compatible(names: list[str], first: str, chance: Random) -> list[str]:
    """Two or three faults, `first` among them, of which no two concern the same part."""
    chosen = [first]
    count = chance.randint(2, _MOST_AT_ONCE)
    for name in chance.sample(names, len(names)):
        concerned = {part for one in chosen for part in FAULTS[one].concerns}
        if len(chosen) < count and concerned.isdisjoint(FAULTS[name].concerns):
            chosen.append(name)
    return chosen


def _timed(chosen: list[str], start: float, length_s: float, chance: Random) -> list[Planned]:
    """In the middle of the time, so that there is something before and after; they overlap."""
    planned = []
    begin_s = length_s * chance.uniform(0.2, 0.3)
    for name in chosen:
        hold_s = length_s * chance.uniform(0.15, 0.3)
        lead_s = begin_s * chance.uniform(0.4, 0.8)
        planned.append(Planned(name, round(start + begin_s, 3), round(hold_s, 3), round(lead_s, 3)))
        begin_s += hold_s * chance.uniform(0.1, 0.6)
    return planned
