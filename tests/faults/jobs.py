"""Many runs, one after the other in this process or side by side in several."""

import asyncio
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.faults.archive import save
from tests.faults.judging import judge
from tests.faults.plan import Plan
from tests.faults.recording import Recorded
from tests.faults.report import Result, failed, read, result, summary, table
from tests.faults.run import play
from tests.faults.schedule import make_plan
from tests.faults.watchdog import Stuck, watchdog

RESULTS = "results.jsonl"
_LONGEST_S = 240.0
"""A run gives up by itself long before."""
_LEAVE_S = 20.0
"""How long workers may take to leave nothing behind, when a Ctrl-C has come to all of them."""


@dataclass(frozen=True)
class Batch:
    """Runs of consecutive seeds: so many, or as many as begin before `until` (by the monotonic
    clock). `fault`: that one alone. `keep`: where results go, and the histories of runs that fail.
    """

    first_seed: int
    runs: int | None
    stride: int
    until: float | None
    duration_s: float
    fault: str | None
    keep: Path

    def plans(self) -> Iterator[Plan]:
        """The plan of each run, made when it is its turn."""
        for number in itertools.count():
            late = self.until is not None and time.monotonic() >= self.until
            if late or number == self.runs:
                return
            seed = self.first_seed + number * self.stride
            yield make_plan(seed, self.duration_s, self.fault)


def run_here(batch: Batch) -> list[Result]:
    """One after the other. Each says what became of it when it is done."""
    batch.keep.mkdir(parents=True, exist_ok=True)
    results = []
    for plan in batch.plans():
        one = run_one(plan, batch.keep)
        with (batch.keep / RESULTS).open("a") as file:
            file.write(one.line() + "\n")
        print(one.complaint(), flush=True)
        results.append(one)
    return results


def run_one(plan: Plan, keep: Path) -> Result:
    """Plays and judges. Of a run that fails everything stays in a folder of `keep`: its history,
    its result and the logs of all processes.
    """
    # Short: a socket's path has 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="laurel-"))
    try:
        return _run_in(folder, plan, keep / f"seed-{plan.seed}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_in(folder: Path, plan: Plan, kept: Path) -> Result:
    recorded = None
    try:
        recorded = _play(plan, folder)
        began = time.monotonic()
        verdict = judge(recorded)
        recorded.phases["judge"] = round(time.monotonic() - began, 3)
        one = result(plan, recorded, verdict)
    except (Exception, Stuck):  # noqa: BLE001 - whatever it is becomes the run's result
        one = failed(plan, traceback.format_exc())
    if not one.passed:
        _keep_logs(folder, kept)
        if recorded is not None:
            save(recorded, kept / "history.jsonl.gz")
        (kept / "result.json").write_text(one.line())
    return one


def _play(plan: Plan, folder: Path) -> Recorded:
    """As `play`. A Ctrl-C or SIGTERM ends it, as KeyboardInterrupt whatever else fails by it: a
    Ctrl-C comes to every process that the run has started, too.
    """
    told = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    async def played() -> Recorded:
        playing = asyncio.ensure_future(play(plan, folder))
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        ending = asyncio.ensure_future(told.wait())
        await asyncio.wait({playing, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        playing.cancel()
        return await playing

    try:
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        with watchdog(runner, plan.duration_s + _LONGEST_S), runner:
            return runner.run(played())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if told.is_set():
            raise KeyboardInterrupt


def _keep_logs(folder: Path, kept: Path) -> None:
    for log in folder.rglob("*.log"):
        target = kept / log.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, target)
    kept.mkdir(parents=True, exist_ok=True)


def run_all(batch: Batch, jobs: int) -> list[Result]:
    """So many at the same time; then a table of all, also when it is interrupted. Seeds are dealt
    out in turn.
    """
    batch.keep.mkdir(parents=True, exist_ok=True)
    results = batch.keep / RESULTS
    before = len(read(results)) if results.exists() else 0
    workers = [subprocess.Popen(_command(batch, jobs, number)) for number in range(jobs)]
    try:
        for worker in workers:
            worker.wait()
    except KeyboardInterrupt:
        _wait(workers, _LEAVE_S)
        raise
    finally:
        _end(workers, _LEAVE_S)
        found = read(results)[before:] if results.exists() else []
        print(table(found), summary(found), sep="\n\n")
    died = [worker.returncode for worker in workers if worker.returncode not in {0, 1}]
    if died:
        sys.exit(f"workers died: {died}")
    return found


def _end(workers: Iterable[subprocess.Popen[bytes]], seconds: float) -> None:
    """Tells those that still run to end, and kills whoever has not after so long."""
    for worker in workers:
        worker.terminate()
    _wait(workers, seconds)
    for worker in workers:
        worker.kill()
        worker.wait()


def _wait(workers: Iterable[subprocess.Popen[bytes]], seconds: float) -> None:
    ends_at = time.monotonic() + seconds
    with suppress(subprocess.TimeoutExpired):
        for worker in workers:
            worker.wait(max(ends_at - time.monotonic(), 0.0))


def _command(batch: Batch, jobs: int, number: int) -> list[str]:
    """What one of the workers is told."""
    given: dict[str, object] = {
        "--first-seed": batch.first_seed + number * batch.stride,
        "--stride": batch.stride * jobs,
        "--duration": batch.duration_s,
        "--keep": batch.keep,
    }
    if batch.until is not None:
        given["--seconds"] = max(0.001, batch.until - time.monotonic())
    else:
        given["--runs"] = len(range(number, batch.runs or 0, jobs))
    if batch.fault:
        given["--fault"] = batch.fault
    words = [str(word) for pair in given.items() for word in pair]
    return [sys.executable, "-m", "tests.faults", *words]
