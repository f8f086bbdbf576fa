"""VerifyBoards as its tests call it, and a scene of boards to spoil."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.gen.laurel.leaderboard.v1 import admin_pb2 as pb
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from tests.leaderboard_app import REDIS, Client
from tests.leaderboard_history import board_message
from tests.leaderboard_peer import Peer

ALL_TIME = "xp//all_time/"
COURSE = "xp/c/all_time/"
TODAY = datetime.now(UTC).date().isoformat()
CROWD = [f"crowd-{number}" for number in range(195)]
STANDINGS = 200 * 5 + 4 * 10
"""Of the scene."""

Mismatch = tuple[str, str, int, int]
"""Board, user, expected, found."""


@dataclass
class Verified:
    """What a call came to."""

    messages: list[pb.VerifyBoardsResponse] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)

    @property
    def last(self) -> pb.VerifyBoardsResponse:
        return self.messages[-1]

    def take(self, message: pb.VerifyBoardsResponse) -> None:
        """The counts only rise, and only the last message is complete."""
        if self.messages:
            assert not self.last.complete
            assert message.standings_total >= self.last.standings_total
            assert message.standings_checked >= self.last.standings_checked
            assert message.repaired >= self.last.repaired
            assert message.position.sequence >= self.last.position.sequence
        assert message.standings_total >= message.standings_checked
        self.messages.append(message)
        self.mismatches += [(name(m), m.user_id, m.expected, m.found) for m in message.mismatches]


def name(mismatch: pb.BoardMismatch) -> str:
    board = mismatch.board
    window = {1: "all_time", 2: "year", 3: "month", 4: "week", 5: "day"}[board.window]
    return f"{board.metric}/{board.course_id}/{window}/{board.period}"


async def verify(admin: Any, *boards: str, repair: bool = False) -> Verified:
    """A whole verification."""
    found = Verified()
    request = pb.VerifyBoardsRequest(boards=map(board_message, boards), repair=repair)
    async for message in admin.VerifyBoards(request, timeout=60):
        found.take(message)
    assert found.last.complete
    return found


async def scene(peer: Peer) -> None:
    """A crowd on the boards of XP, three with marks besides, and h and i who are hidden."""
    for user in ["a", "b", "c", "h", "i", *CROWD]:
        await peer.profile(user, hidden=user in "hi")
    for number, user in enumerate(["a", "b", "c", "h", "i", *CROWD]):
        await peer.credit(user, 10 + number, occurred_date=TODAY)
    for number, user in enumerate("abch"):
        await peer.credit(user, 5 + number, occurred_date=TODAY, course_id="c", metric="marks")


async def boards_are_right(client: Client) -> None:
    """Every board in Redis is what the history comes to; hidden users come back with theirs."""
    await client.live()
    for board in client.peer.scores:
        if "2020" not in board:
            await board_is_right(client, board)


async def board_is_right(client: Client, board: str) -> None:
    request = leaderboard_pb2.GetTopRequest(board=board_message(board), page_size=500)
    found = await client.boards.GetTop(request, timeout=5)
    expected = client.peer.board(board)
    assert found.state.source == REDIS
    assert found.state.total_users == len(expected)
    listed = [(e.user_id, e.score) for e in found.entries]
    assert listed == [(e.user_id, e.score) for e in expected[:500]], board
