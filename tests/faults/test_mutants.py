"""Runs in which a service has a bug that breaks a promise: whoever judges must say so."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.judging import judge
from tests.faults.mutants import MUTANTS, Mutant
from tests.faults.plan import Plan, Planned
from tests.faults.run import play
from tests.faults.schedule import make_plan
from tests.faults.verdict import Violation

SEEDS = range(1, 7)
"""Whether a bug shows is for the processes to decide, too: it must in one of these runs."""
DURATION_S = 6.0
HOLD_S = 4.5


def _plan(name: str, mutant: Mutant, seed: int) -> Plan:
    if not mutant.fault:
        return Plan(seed, DURATION_S, mutants={mutant.service: name})
    plan = make_plan(seed, DURATION_S, mutant.fault)
    return replace(
        plan,
        faults=(Planned(mutant.fault, at=1.0, hold_s=HOLD_S, lead_s=0.8),),
        mutants={mutant.service: name},
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
async def test_a_bug_that_breaks_a_promise_is_found(name: str, tmp_path: Path) -> None:
    mutant, found = MUTANTS[name], list[Violation]()
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        verdict = judge(await play(_plan(name, mutant, seed), folder))
        found += verdict.violations
        if any(one.promise == mutant.promise for one in found):
            return
    others = "\n".join(map(str, found[:20])) or "none"
    pytest.fail(f"not found: {name}; of other promises was broken:\n{others}")
