"""`python -m tests.faults`: runs of the fault harness, and judgements of runs that were kept.

python -m tests.faults --first-seed 7 --runs 20 --jobs 2 --duration 8
python -m tests.faults --seed 7 --fault kill.redis
python -m tests.faults --seconds 3600                    (for as long as told)
python -m tests.faults --judge .faults/seed-7/history.jsonl.gz
python -m tests.faults --table .faults/results.jsonl
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.faults import report
from tests.faults.archive import load
from tests.faults.jobs import Batch, run_all, run_here
from tests.faults.judging import judge

_INTERRUPTED = 128 + signal.SIGINT


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.faults", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--first-seed", "--seed", type=int, default=1, help="seed of the first run")
    add("--runs", type=int, default=1, help="how many runs, each with the next seed")
    add("--stride", type=int, default=1, help="by how much a seed exceeds the one before")
    add("--seconds", type=float, help="begin runs until so much time has passed")
    add("--jobs", type=int, default=1, help="runs at the same time, each in a process")
    add("--duration", type=float, default=8.0, help="seconds of workload in each run")
    add("--fault", help="this fault alone, instead of those that the seed draws")
    add("--keep", type=Path, default=Path(".faults"), help="folder of results and failed runs")
    add("--judge", type=Path, help="judge a history that was kept; runs nothing")
    add("--table", type=Path, nargs="+", help="files of results to sum up; runs nothing")
    return parser.parse_args()


def _judge(path: Path) -> int:
    """Prints what is wrong with a history."""
    verdict = judge(load(path))
    for violation in verdict.violations:
        print(violation)
    for missing in verdict.empty:
        print(f"nothing to check: {missing}")
    print(f"checked: {verdict.checked}")
    return 0 if verdict.ok else 1


def main() -> int:
    told = _arguments()
    if told.judge:
        return _judge(told.judge)
    if told.table:
        results = [one for path in told.table for one in report.read(path)]
        print(report.table(results), report.summary(results), sep="\n\n")
        return 0
    until = time.monotonic() + told.seconds if told.seconds else None
    batch = Batch(
        first_seed=told.first_seed,
        runs=None if until else told.runs,
        stride=told.stride,
        until=until,
        duration_s=told.duration,
        fault=told.fault,
        keep=told.keep,
    )
    # Who ends it is to find nothing left: neither processes nor folders.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = run_here(batch) if told.jobs == 1 else run_all(batch, told.jobs)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0 if all(one.passed for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
