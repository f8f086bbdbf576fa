"""The results of runs: one line of JSON for each, and tables made of many."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.availability import Share, availability
from tests.faults.judging import Verdict
from tests.faults.plan import Plan
from tests.faults.recording import Recorded

_TOLD = 20
"""Violations of a run that its result spells out."""


@dataclass(frozen=True)
class Result:
    """What became of a run. `error`: the harness itself failed, and nothing was judged."""

    seed: int
    duration_s: float
    faults: list[str]
    error: str = ""
    violations: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    checked: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    availability: dict[str, Share] = field(default_factory=dict)
    memory_mib: dict[str, float] = field(default_factory=dict)
    lag_s: float | None = None
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not (self.error or self.violations or self.empty)

    def line(self) -> str:
        return json.dumps({"passed": self.passed, **asdict(self)}, separators=(",", ":"))

    def complaint(self) -> str:
        """The run in a line, and what is wrong with it."""
        became = "passed" if self.passed else "FAILED"
        lag = "–" if self.lag_s is None else f"{self.lag_s:.2f} s"
        told = ", ".join(self.faults) or "no fault"
        lines = [f"seed {self.seed}: {became}: {told}; lag {lag}, took {self.seconds:.1f} s"]
        lines += [f"  {violation}" for violation in self.violations]
        lines += [f"  nothing to check: {missing}" for missing in self.empty]
        lines += [f"  {line}" for line in self.error.splitlines()]
        return "\n".join(lines)

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())

    @classmethod
    def parse(cls, line: str) -> "Result":
        given: dict[str, Any] = json.loads(line)
        del given["passed"]
        shares = {name: Share(**one) for name, one in given.pop("availability").items()}
        return cls(**given, availability=shares)


def failed(plan: Plan, error: str) -> Result:
    """Of a run that the harness could not finish."""
    return Result(plan.seed, plan.duration_s, _faults(plan), error=error)


def result(plan: Plan, recorded: Recorded, verdict: Verdict) -> Result:
    """Of a run that was judged."""
    return Result(
        seed=plan.seed,
        duration_s=plan.duration_s,
        faults=_faults(plan),
        violations=[*recorded.deaths, *(str(one) for one in verdict.violations[:_TOLD])],
        broken=dict(Counter(one.promise for one in verdict.violations)),
        empty=list(verdict.empty),
        checked={promise: dict(counts) for promise, counts in verdict.checked.items()},
        counts=_counts(recorded),
        failures=_failures(recorded),
        availability=availability(recorded),
        memory_mib=_memory(recorded),
        lag_s=recorded.lag_s,
        phases=recorded.phases,
    )


def _faults(plan: Plan) -> list[str]:
    return [one.fault for one in plan.faults]


def _counts(recorded: Recorded) -> dict[str, int]:
    return {
        "calls": len(recorded.calls),
        "answered": sum(call.response is not None for call in recorded.calls),
        "streams": len(recorded.streams),
        "messages": sum(len(stream.messages) for stream in recorded.streams),
        "branches": len(recorded.branches),
        "changes": sum(len(branch.changes) for branch in recorded.branches),
    }


def _failures(recorded: Recorded) -> dict[str, int]:
    """By code and reason, commonest first."""
    calls = [one.failure for one in recorded.calls if one.failure]
    streams = [one.failure for one in recorded.streams if one.failure]
    found = Counter(f"{one.code} {one.reason}".strip() for one in [*calls, *streams])
    return dict(found.most_common())


def _memory(recorded: Recorded) -> dict[str, float]:
    """The most that each process was seen to hold, in MiB."""
    most: dict[str, int] = defaultdict(int)
    for one in recorded.samples:
        most[one.process] = max(most[one.process], one.rss_bytes)
    return {name: round(size / 2**20, 1) for name, size in sorted(most.items())}


def read(path: Path) -> list[Result]:
    """All results of a file."""
    return [Result.parse(line) for line in path.read_text().splitlines() if line]


def table(results: Iterable[Result]) -> str:
    """By fault: in how many runs it took part, and in how many alone; how many failed; ranks that
    were answered in time while it alone held. Markdown.
    """
    runs, alone, bad = Counter[str](), Counter[str](), Counter[str]()
    shares: dict[str, Share] = defaultdict(Share)
    for one in results:
        names = set(one.faults) or {"none"}
        runs.update(names)
        alone.update(names if len(names) == 1 else ())
        bad.update(() if one.passed else names)
        for name, share in one.availability.items():
            shares[name] += share
    lines = [
        "| fault | runs | alone | failed | GetRank asked | within 250 ms |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted(runs.keys() | shares.keys()):
        share = shares[name]
        told = f"{100 * share.ratio:.1f} %" if share.asked else "–"
        lines.append(
            f"| {name} | {runs[name]} | {alone[name]} | {bad[name]} | {share.asked} | {told} |"
        )
    return "\n".join(lines)


def summary(results: list[Result]) -> str:
    """A few lines about all of them."""
    lags = sorted(one.lag_s for one in results if one.lag_s is not None)
    phases: Counter[str] = Counter()
    for one in results:
        phases.update(one.phases)
    spent = ", ".join(
        f"{name} {spent / max(1, len(results)):.1f}" for name, spent in phases.items()
    )
    lines = [
        f"{len(results)} runs, {sum(not one.passed for one in results)} failed",
        f"mean seconds: {spent}",
    ]
    if lags:
        middle, most = lags[len(lags) // 2], lags[-1]
        lines.append(f"lag after healing: median {middle:.2f} s, most {most:.2f} s")
    checked, broken = Counter[str](), Counter[str]()
    for one in results:
        broken.update(one.broken)
        checked.update({name: sum(counts.values()) for name, counts in one.checked.items()})
    lines += [f"checked: {name} {count:,}" for name, count in checked.items()]
    lines += [f"broken: {name} {count}" for name, count in broken.most_common()]
    return "\n".join(lines)
