"""How well ranks were answered while one thing was broken."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.faults.recording import Act, Call, Recorded
from tests.faults.workload.reader import PROBER

IN_TIME_S = 0.25
HEALTHY = "none"
"""Stands for the time in which nothing was broken."""


@dataclass(slots=True)
class Share:
    """So many calls were made, and so many of them answered in time."""

    asked: int = 0
    in_time: int = 0

    def __add__(self, other: "Share") -> "Share":
        return Share(self.asked + other.asked, self.in_time + other.in_time)

    @property
    def ratio(self) -> float:
        return self.in_time / self.asked if self.asked else 0.0


def availability(recorded: Recorded) -> dict[str, Share]:
    """By fault, of the prober's calls that began while that fault alone held; by HEALTHY, of those
    that began before anything was broken. What holds only a moment holds for the second after,
    too: a reset is felt later. That the answers are right is for the validators.
    """
    shares: dict[str, Share] = {}
    for call in _probes(recorded.calls):
        holding = [act for act in recorded.acts if act.begun <= call.begun < _until(act)]
        before = all(call.begun < act.begun for act in recorded.acts)
        if len(holding) == 1:
            name = holding[0].fault
        elif before:
            name = HEALTHY
        else:
            continue
        in_time = call.response is not None and call.ended - call.begun <= IN_TIME_S
        shares[name] = shares.get(name, Share()) + Share(1, int(in_time))
    return shares


def _probes(calls: Iterable[Call]) -> Iterable[Call]:
    return (call for call in calls if call.client == PROBER)


def _until(act: Act) -> float:
    return max(act.healed, act.begun + 1)
