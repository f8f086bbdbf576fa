"""What is done to the stack in a run, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Planned:
    """A fault that begins `at` seconds after the workload and holds for `hold_s`; `lead_s` before
    it begins it is prepared.
    """

    fault: str
    at: float
    hold_s: float
    lead_s: float = 1.0


@dataclass(frozen=True)
class Plan:
    """A run. `replicas` of each service; `settings` of ProgressService that are not the default
    ones; `mutants`: by the service's module, the bug it has.
    """

    seed: int
    duration_s: float
    faults: tuple[Planned, ...] = ()
    replicas: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    mutants: Mapping[str, str] = field(default_factory=dict)
