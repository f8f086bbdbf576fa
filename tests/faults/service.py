"""`python -m tests.faults.service progress_service|leaderboard_service`: the real service, with a
clock that the harness can set, what is planted to fail, readers that count as stalled after
LAUREL_FAULTS_STALL_S and, if LAUREL_FAULTS_MUTANT names one, with a promise broken.
"""

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from shared import stream_write
from tests.faults import planted
from tests.faults.clock import VARIABLE, WallClock

MUTANT = "LAUREL_FAULTS_MUTANT"
STALL = "LAUREL_FAULTS_STALL_S"
_BUILDER = {"progress_service": "build", "leaderboard_service": "LeaderboardApp"}
"""What each service's main builds itself with; it takes the clock as `now`."""


def _shorten_stalls(stall_s: float) -> None:
    """Before anything is imported that takes the bound over."""
    assert stream_write.write_within.__defaults__ == (stream_write.STALL_S,)
    stream_write.STALL_S = stall_s
    stream_write.write_within.__defaults__ = (stall_s,)


def main(service: str) -> None:
    """Runs the service's own main."""
    if stall_s := os.environ.get(STALL):
        _shorten_stalls(float(stall_s))
    if service == "leaderboard_service":
        planted.plant()
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
