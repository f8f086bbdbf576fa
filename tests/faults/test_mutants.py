"""Runs in which a service has a bug that breaks a promise: whoever judges must say so."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.judging import judge
from tests.faults.mutants import MUTANTS, Mutant
from tests.faults.plan import Plan, Planned
from tests.faults.run import play
from tests.faults.schedule import make_plan

SEED = 1
DURATION_S = 6.0
HOLD_S = 4.5


def _plan(name: str, mutant: Mutant) -> Plan:
    if not mutant.fault:
        return Plan(SEED, DURATION_S, mutants={mutant.service: name})
    plan = make_plan(SEED, DURATION_S, mutant.fault)
    return replace(
        plan,
        faults=(Planned(mutant.fault, at=1.0, hold_s=HOLD_S, lead_s=0.8),),
        mutants={mutant.service: name},
    )


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_bug_that_breaks_a_promise_is_found(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    verdict = judge(await play(_plan(name, mutant), tmp_path))
    assert mutant.promise in {violation.promise for violation in verdict.violations}
