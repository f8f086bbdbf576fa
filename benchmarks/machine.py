"""The machine that the figures were taken on, and who else was using it."""

import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.figures import median

_BLOCK = bytes(8192)
_WRITES = 30


def describe(home: Path) -> str:
    """Two lines: processors, load and versions; file system and how fast it synchronises."""
    load = ", ".join(f"{value:.2f}" for value in psutil.getloadavg())
    versions = ", ".join(f"{name} {version(name)}" for name in ("grpcio", "uvloop"))
    return (
        f"{psutil.cpu_count()} processors ({_processor()}), load {load}; "
        f"Python {platform.python_version()}, {versions}\n"
        f"PostgreSQL and Redis on {_file_system(home)}; 8 KiB written and synchronised in "
        f"{1000 * _synchronised_s(home):.2f} ms"
    )


class Neighbours:
    """What other programs take of the processors, from here on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._others_s = self._others_so_far_s()

    def share(self) -> float:
        """Of all processors together, 0 to 1. Call when our own children have ended."""
        elapsed_s = (time.monotonic() - self._started) * (psutil.cpu_count() or 1)
        return max(self._others_so_far_s() - self._others_s, 0.0) / elapsed_s

    @staticmethod
    def _others_so_far_s() -> float:
        everyone = psutil.cpu_times()
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return everyone.user + everyone.system - sum(one.ru_utime + one.ru_stime for one in own)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file_system(home: Path) -> str:
    """The type of the file system that holds the folder, such as ext4."""
    resolved = str(home.resolve())
    holding = [
        part
        for part in psutil.disk_partitions(all=True)
        if Path(resolved).is_relative_to(part.mountpoint)
    ]
    return max(holding, key=lambda part: len(part.mountpoint)).fstype if holding else "?"


def _synchronised_s(home: Path) -> float:
    """The median time of a small synchronised write: what a commit waits for at least."""
    times = []
    with (home / "probe").open("wb") as file:
        for _ in range(_WRITES):
            started = time.perf_counter()
            file.write(_BLOCK)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    (home / "probe").unlink()
    return median(times)
