"""`python -m benchmarks.history SCENE`: waits until the boards hold everything that was written."""

import asyncio
import sys
from dataclasses import dataclass

from grpc import aio

from benchmarks.callers import open_channel
from benchmarks.scene import Scene
from shared import runtime
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.progress.v1 import admin_pb2 as progress_pb2
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub

POLL_S = 0.05
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Numbered:
    """The newest position of the history, and how many changes have none yet."""

    head: int
    unnumbered: int


async def numbered(progress: aio.Channel) -> Numbered:
    """How far ProgressService is. Waits for the service to come up."""
    answer = await ProgressAdminServiceStub(progress).GetStatus(
        progress_pb2.GetStatusRequest(), timeout=TIMEOUT_S, wait_for_ready=True
    )
    return Numbered(answer.head.sequence, answer.unnumbered_changes)


async def all_numbered(progress: aio.Channel) -> int:
    """The newest position, once every change that is committed has one."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            found = await numbered(progress)
            if not found.unnumbered:
                return found.head
            await asyncio.sleep(POLL_S)


async def applied(leaderboard: aio.Channel) -> int | None:
    """The position that the boards in Redis have reached; None while there are none.

    Waits for the service to come up.
    """
    answer = await LeaderboardAdminServiceStub(leaderboard).GetStatus(
        leaderboard_pb2.GetStatusRequest(), timeout=TIMEOUT_S, wait_for_ready=True
    )
    return answer.applied.sequence if answer.applied.epoch else None


async def all_applied(progress: aio.Channel, leaderboard: aio.Channel) -> None:
    """Returns when the boards in Redis hold everything that is committed."""
    head = await all_numbered(progress)
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            reached = await applied(leaderboard)
            if reached is not None and reached >= head:
                return
            await asyncio.sleep(POLL_S)


async def main(scene: Scene) -> None:
    """Waits."""
    async with (
        open_channel(scene.progress.address) as progress,
        open_channel(scene.leaderboard.address) as leaderboard,
    ):
        await all_applied(progress, leaderboard)


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
