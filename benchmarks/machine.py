"""The machine that the figures were taken on."""

import os
import platform
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
