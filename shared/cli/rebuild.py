"""`laurel rebuild`: all boards built anew in Redis, followed to the end."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType

from shared.cli.answer_stream import TOTAL_TIMEOUT_S, Reached, Show, follow, progress_bar
from shared.cli.calls import CommandError, Peer, connected
from shared.cli.output import figures_table, message_document
from shared.gen.laurel.leaderboard.v1.admin_pb2 import RebuildBoardsRequest, RebuildBoardsResponse
from shared.gen.laurel.leaderboard.v1.admin_pb2_grpc import LeaderboardAdminServiceStub

PAUSE_S = (0.5, 1.5)
OUT_OF_TOUCH_S = 60.0
CUT_REASONS = frozenset({"", "DRAINING", "READER_STALLED"})
GOES_ON = "A rebuild that has begun goes on; `laurel status` tells"
BOARDS_STAY = "The boards that were there stay"


@dataclass
class Rebuild:
    """How far a rebuild is. `cuts`: how often its stream was cut, and then taken up again."""

    last: RebuildBoardsResponse = field(default_factory=RebuildBoardsResponse)
    cuts: int = 0
    started: float = field(default_factory=time.monotonic)
    heard: float | None = None

    @property
    def elapsed_s(self) -> float:
        """From the start to the last answer."""
        return 0.0 if self.heard is None else self.heard - self.started

    @property
    def in_touch(self) -> bool:
        """Whether the service has answered, and not too long ago to expect it back."""
        return self.heard is not None and time.monotonic() - self.heard < OUT_OF_TOUCH_S

    def take(self, answer: RebuildBoardsResponse) -> Reached:
        """Add one answer; how far it is."""
        self.last = answer
        self.heard = time.monotonic()
        words = f"position {answer.position.sequence:,}"
        return Reached(answer.standings_loaded, answer.standings_total, words, answer.complete)


async def rebuild(peer: Peer) -> Rebuild:
    """Has all boards rebuilt; raises CommandError if that failed or cannot be followed.

    A stream that is cut does not stop the rebuild, so it is taken up again, until the service
    has not answered for OUT_OF_TOUCH_S.
    """
    run = Rebuild()
    with progress_bar("rebuilding", "standings") as show:
        while not run.last.complete:
            try:
                await _follow(peer, run, show)
            except CommandError as error:
                if not (_is_cut(error) and run.in_touch):
                    raise _explained(error, run) from error
                run.cuts += 1
                await asyncio.sleep(random.uniform(*PAUSE_S))
    return run


async def _follow(peer: Peer, run: Rebuild, show: Show) -> None:
    async with connected(peer, life_s=TOTAL_TIMEOUT_S) as channel:
        stub = LeaderboardAdminServiceStub(channel)
        call = stub.RebuildBoards(RebuildBoardsRequest(), timeout=TOTAL_TIMEOUT_S)
        await follow(call, run.take, show, peer)


def _is_cut(error: CommandError) -> bool:
    """Whether only the stream ended: the connection failed, the process that it came from ends, or
    this one did not read for a while.
    """
    return error.status in {"UNAVAILABLE", "CANCELLED"} and error.reason in CUT_REASONS


def _explained(error: CommandError, run: Rebuild) -> CommandError:
    """The failure, and what it means for the boards."""
    if error.reason and not _is_cut(error):
        return error.and_also(BOARDS_STAY)
    return error if run.heard is None else error.and_also(GOES_ON)


def rebuild_document(run: Rebuild) -> dict[str, Any]:
    """The rebuild as a JSON object of plain numbers."""
    return {
        "standings_loaded": run.last.standings_loaded,
        "position": message_document(run.last.position),
        "elapsed_s": round(run.elapsed_s, 3),
        "cuts": run.cuts,
    }


def rebuild_table(run: Rebuild) -> RenderableType:
    """What was loaded, how far the boards are, and how long it took."""
    figures: dict[str, int | str] = {
        "standings loaded": run.last.standings_loaded,
        "at position": run.last.position.sequence,
        "elapsed": f"{run.elapsed_s:.1f} s",
    }
    return figures_table(figures)
