"""`python -m tests.faults.service progress_service|leaderboard_service`: the real service, with a
clock that the harness can set and, if LAUREL_FAULTS_MUTANT names one, with a promise broken.
"""

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from tests.faults.clock import VARIABLE, WallClock

MUTANT = "LAUREL_FAULTS_MUTANT"
_BUILDER = {"progress_service": "build", "leaderboard_service": "LeaderboardApp"}
"""What each service's main builds itself with; it takes the clock as `now`."""


def main(service: str) -> None:
    """Runs the service's own main."""
    if mutant := os.environ.get(MUTANT):
        import_module("tests.faults.mutants").apply(mutant)
    program = import_module(f"{service}.__main__")
    clock = WallClock(Path(os.environ[VARIABLE]))
    clock.install()
    name = _BUILDER[service]
    setattr(program, name, partial(getattr(program, name), now=clock.now))
    program.main()


if __name__ == "__main__":
    main(sys.argv[1])
