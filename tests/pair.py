"""Both services as their tests call them."""

from grpc import aio

from shared.gen.laurel.leaderboard.v1 import admin_pb2
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from tests.progress import Progress, eventually


class Pair:
    """Stubs of the board service on a running ProgressService."""

    def __init__(self, channel: aio.Channel, progress: Progress) -> None:
        self.boards = LeaderboardServiceStub(channel)
        self.admin = LeaderboardAdminServiceStub(channel)
        self.progress = progress

    async def settled(self) -> None:
        """Waits until everything that was written is on the boards in Redis."""
        head = await self.progress.settled()

        async def live() -> bool:
            status = await self.admin.GetStatus(admin_pb2.GetStatusRequest())
            return status.applied == head

        await eventually(live, "the boards in Redis are at the head")
