"""`python -m benchmarks.prefill SCENE`: users and scores, through ImportProgress.

Returns when PostgreSQL has folded all of it into its standings.
"""

import sys
import time
from collections.abc import Iterable

from grpc import aio

from benchmarks import population
from benchmarks.callers import open_channel
from benchmarks.history import all_numbered
from benchmarks.scene import Scene
from shared import runtime
from shared.cli.import_counts import ImportCounts
from shared.cli.import_stream import ImportStream
from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressRequest


async def main(scene: Scene) -> None:
    """Fills the service; says how long it took."""
    async with open_channel(scene.progress.address) as channel:
        await all_numbered(channel)  # the connection is there before the clock runs
        started = time.monotonic()
        await _send(channel, population.catalog(scene.users))
        profiles_s = time.monotonic() - started
        counts = await _send(channel, population.awards(scene.users))
        if counts.recorded != scene.users:
            sys.exit(f"{counts.recorded} of {scene.users} awards were recorded")
        awards_s = time.monotonic() - started - profiles_s
        await all_numbered(channel)
    print(
        f"{scene.users:,} users with names in {profiles_s:.1f} s, an award for each in "
        f"{awards_s:.1f} s; folded into the standings {time.monotonic() - started:.1f} s after "
        "the start",
        flush=True,
    )


async def _send(channel: aio.Channel, requests: Iterable[ImportProgressRequest]) -> ImportCounts:
    counts = ImportCounts()
    await ImportStream(channel, counts.take).run(requests)
    return counts


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
