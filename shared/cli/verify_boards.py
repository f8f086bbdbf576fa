"""`laurel verify-boards`: whether the boards in Redis agree with PostgreSQL; mended on request."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.answer_stream import TOTAL_TIMEOUT_S, Reached, follow, progress_bar
from shared.cli.boards import board_parts
from shared.cli.calls import CommandError, Peer, connected, safe_again
from shared.cli.output import figures_table, message_document, number, plain
from shared.gen.laurel.leaderboard.v1.admin_pb2 import (
    BoardMismatch,
    VerifyBoardsRequest,
    VerifyBoardsResponse,
)
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub
from shared.gen.laurel.types.v1.types_pb2 import Board

KEPT = 1_000
SHOWN = 20
TOO_MANY = "TOO_MANY_MISMATCHES"
AGAIN = "What was repaired stays repaired, and running the same command again begins anew"


@dataclass
class BoardFindings:
    """What a verification of boards has found so far. `mismatches`: the first KEPT of `count`;
    `complete` False: more differ than the service tells.
    """

    repair: bool
    last: VerifyBoardsResponse = field(default_factory=VerifyBoardsResponse)
    mismatches: list[BoardMismatch] = field(default_factory=list)
    count: int = 0
    complete: bool = True
    elapsed_s: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    @property
    def left_wrong(self) -> int:
        """How many standings were found wrong and not mended."""
        return max(0, self.count - self.last.repaired)

    @property
    def ok(self) -> bool:
        """Whether everything agrees, or does so now."""
        return self.complete and not self.left_wrong

    def take(self, answer: VerifyBoardsResponse) -> Reached:
        """Add one answer; how far it is."""
        self.count += len(answer.mismatches)
        self.mismatches += answer.mismatches[: KEPT - len(self.mismatches)]
        self.last = answer
        self.elapsed_s = time.monotonic() - self._started
        words = f"{self.count:,} mismatches"
        if self.repair:
            words += f", {answer.repaired:,} repaired"
        return Reached(answer.standings_checked, answer.standings_total, words, answer.complete)


async def verify_boards(peer: Peer, boards: Sequence[Board], *, repair: bool) -> BoardFindings:
    """Has the boards compared, all of them if none is named; raises CommandError if that could
    not be completed.
    """
    found = BoardFindings(repair)
    request = VerifyBoardsRequest(boards=boards, repair=repair)
    try:
        with progress_bar("repairing" if repair else "verifying", "standings") as show:
            async with (
                safe_again(AGAIN, dry_run=not repair),
                connected(peer, life_s=TOTAL_TIMEOUT_S) as channel,
            ):
                stub = LeaderboardAdminServiceStub(channel)
                call = stub.VerifyBoards(request, timeout=TOTAL_TIMEOUT_S)
                await follow(call, found.take, show, peer)
    except CommandError as error:
        if error.reason != TOO_MANY:
            raise
        found.complete = False
    return found


def board_findings_document(found: BoardFindings) -> dict[str, Any]:
    """The findings as a JSON object: plain numbers, and the first mismatches."""
    return {
        "ok": found.ok,
        "repair": found.repair,
        "standings_total": found.last.standings_total,
        "standings_checked": found.last.standings_checked,
        "position": message_document(found.last.position),
        "elapsed_s": round(found.elapsed_s, 3),
        "complete": found.complete,
        "mismatches_total": found.count,
        "repaired": found.last.repaired,
        "mismatches": [message_document(one) for one in found.mismatches],
        "mismatches_not_listed": found.count - len(found.mismatches),
    }


def board_findings_tables(found: BoardFindings) -> Iterator[RenderableType]:
    """The counts, the first mismatches, and the outcome in words."""
    figures: dict[str, int | str] = {
        "standings checked": found.last.standings_checked,
        "at position": found.last.position.sequence,
        "mismatches": found.count,
    }
    if found.repair:
        figures["repaired"] = found.last.repaired
    yield figures_table({**figures, "elapsed": f"{found.elapsed_s:.1f} s"})
    if found.count:
        yield _mismatches_table(found)
    yield Text(_outcome(found))


def _outcome(found: BoardFindings) -> str:
    if not found.complete:
        return "More differs than the service tells; not all was checked. Try `laurel rebuild`."
    if not found.count:
        return "Everything agrees."
    if not found.repair:
        return "Nothing was changed; --repair mends what differs."
    if found.left_wrong:
        return f"{found.left_wrong:,} standings were not mended."
    return "Everything that differed was mended."


def _mismatches_table(found: BoardFindings) -> Table:
    table = Table()
    table.add_column("board")
    table.add_column("user")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    for one in found.mismatches[:SHOWN]:
        where = Text(", ".join(board_parts(one.board)))
        table.add_row(where, plain(one.user_id), number(one.expected), number(one.found))
    if found.count > SHOWN:
        table.add_row(f"and {found.count - SHOWN:,} more", "", "", "")
    return table
