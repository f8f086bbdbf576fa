"""`python -m benchmarks.stream SCENE`: how fast a follower that was away applies the history.

Run while LeaderboardService is down and its boards are empty; the service is started when this
program has said `watching`. Then the whole history goes through WatchXpDeltas into Redis: first
the profiles, then a delta for each user, which counts on five boards. The position in Redis is
read every SAMPLE_S; the rate is that between two samples, so starting up counts for nothing.
"""

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.callers import open_channel
from benchmarks.history import TIMEOUT_S, all_numbered, applied
from benchmarks.scene import Scene
from shared import runtime

SAMPLE_S = 0.02


@dataclass(frozen=True)
class Sample:
    """The position that Redis held, and when it said so."""

    at: float
    sequence: int


async def main(scene: Scene) -> None:
    """Watches until all is applied, and prints."""
    async with open_channel(scene.progress.address) as progress:
        head = await all_numbered(progress)
    print("watching", flush=True)
    await _listening(scene.leaderboard.address)
    samples = [Sample(time.perf_counter(), 0)]
    async with open_channel(scene.leaderboard.address) as leaderboard, asyncio.timeout(TIMEOUT_S):
        while samples[-1].sequence < head:
            reached = await applied(leaderboard)
            samples.append(Sample(time.perf_counter(), reached or 0))
            await asyncio.sleep(SAMPLE_S)
    _print(scene.users, head, samples)


async def _listening(address: str) -> None:
    """Returns when there is a server; looks oftener than a gRPC channel would."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                return
            await asyncio.sleep(SAMPLE_S)


def _print(users: int, head: int, samples: list[Sample]) -> None:
    began = _last_at(samples, 0)
    between = _first_at(samples, users)
    end = samples[-1]
    print(f"\nStream into Redis: {_rate(between, end):,.0f} changes/s")
    print(
        f"  {head - between.sequence:,} deltas, each on five boards, in "
        f"{end.at - between.at:.2f} s; before them {between.sequence - began.sequence:,} changes, "
        f"mostly profiles, at {_rate(began, between):,.0f}/s"
    )
    print(f"  read from Redis every {1000 * SAMPLE_S:.0f} ms", flush=True)


def _last_at(samples: list[Sample], sequence: int) -> Sample:
    """The last sample that was not beyond the position; the first, if all were."""
    return max((one for one in samples if one.sequence <= sequence), default=samples[0], key=_when)


def _first_at(samples: list[Sample], sequence: int) -> Sample:
    return next(one for one in samples if one.sequence >= sequence)


def _when(sample: Sample) -> float:
    return sample.at


def _rate(first: Sample, last: Sample) -> float:
    return (last.sequence - first.sequence) / max(last.at - first.at, SAMPLE_S)


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
