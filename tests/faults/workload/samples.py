"""Takes the memory of every process of the stack, again and again."""

import asyncio
from collections.abc import Callable, Mapping

import psutil

from tests.faults.recording import Sample

EVERY_S = 0.5


def resident(pid: int) -> int:
    """Bytes that the process holds; of one with children the family's, each shared page once."""
    process = psutil.Process(pid)
    family = process.children(recursive=True)
    if not family:
        return int(process.memory_info().rss)
    total = 0
    for one in (process, *family):
        try:
            total += int(one.memory_full_info().pss)
        except psutil.NoSuchProcess:
            continue
    return total


async def sample(
    samples: list[Sample], pids: Callable[[], Mapping[str, int]], now: Callable[[], float]
) -> None:
    """Until it is cancelled."""
    while True:
        for name, pid in dict(pids()).items():
            try:
                samples.append(Sample(now(), name, resident(pid)))
            except psutil.NoSuchProcess:
                continue
        await asyncio.sleep(EVERY_S)
