"""A few fixed runs of the harness; `make faults` and `make soak` do more of the same."""

from pathlib import Path

import pytest

from tests.faults.jobs import run_one
from tests.faults.schedule import make_plan

SECONDS = 6.0


@pytest.mark.parametrize(
    ("seed", "fault"),
    [
        (1, "kill.postgres"),
        (2, "freeze.progress"),
        (3, "redis.flush"),
        (4, "postgres.restore"),
        (5, "history.pruned"),
        (6, "replicas"),
        (45, None),
        (63, None),
    ],
)
def test_every_promise_is_kept_while_parts_of_the_stack_are_broken(
    seed: int, fault: str | None, tmp_path: Path
) -> None:
    found = run_one(make_plan(seed, SECONDS, fault), tmp_path)
    assert found.passed, found.complaint()
