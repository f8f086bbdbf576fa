"""Questions that wait for Redis, what is known of epochs, trouble in the log, weights. No I/O."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from leaderboard_service.domain.board import Board, BoardNames, Floors
from leaderboard_service.domain.fold import HIDE_WEIGHT, Fold, Profile
from leaderboard_service.domain.question import RankAsk
from leaderboard_service.lane import Lane, NotReadable, Overdue
from leaderboard_service.reader import weigh_rank
from leaderboard_service.store.reading import NotKept
from leaderboard_service.store.reads import Outcome
from shared.periods import Window
from shared.rank_mode import RankMode
from shared.trouble import Trouble


class Reads:
    """Answers nothing until it is let."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.free = asyncio.Event()

    async def read(self, asks: Sequence[Any]) -> list[Outcome]:
        self.asked.append(list(asks))
        await self.free.wait()
        return [NotKept() for _ in asks]


async def _until_read(reads: Reads) -> None:
    while not reads.asked:
        await asyncio.sleep(0)


async def test_who_waits_too_long_for_a_turn_is_told() -> None:
    reads = Reads()
    lane: Lane[int] = Lane(reads.read, lambda _ask, _shared: 1000, patience_s=0.05)
    running = asyncio.create_task(lane.run())
    first = asyncio.create_task(lane.ask(1))
    await _until_read(reads)
    loop = asyncio.get_running_loop()
    began = loop.time()
    others = await asyncio.gather(*map(lane.ask, range(2, 50)), return_exceptions=True)
    assert {type(outcome) for outcome in others} == {Overdue}
    assert loop.time() - began < 2
    reads.free.set()
    assert isinstance(await first, NotKept)
    assert isinstance(await lane.ask(3), NotKept)
    assert reads.asked == [[1], [3]]
    running.cancel()


async def test_nobody_goes_on_waiting_once_the_lane_is_abandoned() -> None:
    reads = Reads()
    lane: Lane[int] = Lane(reads.read, lambda _ask, _shared: 1000, patience_s=60)
    running = asyncio.create_task(lane.run())
    first = asyncio.create_task(lane.ask(1))
    await _until_read(reads)
    others = [asyncio.create_task(lane.ask(number % 3)) for number in range(2, 50)]
    await asyncio.sleep(0)
    lane.abandon()
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {NotReadable}
    reads.free.set()
    assert isinstance(await first, NotKept)
    assert isinstance(await lane.ask(7), NotKept)
    running.cancel()


async def test_what_nobody_waits_for_any_more_is_not_read() -> None:
    reads = Reads()
    lane: Lane[int] = Lane(reads.read, lambda _ask, _shared: 1000, patience_s=60)
    running = asyncio.create_task(lane.run())
    first = asyncio.create_task(lane.ask(1))
    await _until_read(reads)
    gone, stays = asyncio.create_task(lane.ask(2)), asyncio.create_task(lane.ask(3))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    reads.free.set()
    await asyncio.gather(first, stays)
    assert reads.asked == [[1], [3]]
    running.cancel()


def _dense(metric: str, user: str, mode: RankMode = RankMode.DENSE) -> RankAsk:
    return RankAsk(Board(metric, "", Window.ALL_TIME, ""), mode, user)


async def test_one_script_walks_through_the_scores_of_one_board() -> None:
    reads = Reads()
    reads.free.set()
    lane: Lane[RankAsk] = Lane(reads.read, weigh_rank, patience_s=60)
    asks = [_dense(metric, f"u{n}") for n in range(100) for metric in ("xp", "marks")]
    asks += [_dense("xp", f"u{n}", RankMode.COMPETITION) for n in range(100)]
    waiting = [asyncio.create_task(lane.ask(ask)) for ask in asks]
    await asyncio.sleep(0)
    running = asyncio.create_task(lane.run())
    await asyncio.gather(*waiting)
    for asked in reads.asked:
        assert len({ask.board for ask in asked if ask.mode == RankMode.DENSE}) <= 1
    assert sorted(map(str, asks)) == sorted(str(ask) for asked in reads.asked for ask in asked)
    running.cancel()


def test_trouble_is_logged_when_it_begins_when_it_changes_and_when_it_is_over() -> None:
    with capture_logs() as lines:
        trouble = Trouble(structlog.get_logger())
        trouble.over("works")
        for _ in range(3):
            trouble.met("does not answer", code="UNAVAILABLE")
        trouble.met("does not answer", code="INTERNAL")
        for _ in range(2):
            trouble.failed("failed", ValueError("x"))
        for _ in range(2):
            trouble.over("works")
        trouble.met("does not answer", code="INTERNAL")
    assert [(line["log_level"], line.get("code")) for line in lines] == [
        ("warning", "UNAVAILABLE"),
        ("warning", "INTERNAL"),
        ("error", None),
        ("info", None),
        ("warning", "INTERNAL"),
    ]


def test_hiding_weighs_as_many_scores_as_there_are_boards() -> None:
    for boards, weight in ((0, HIDE_WEIGHT), (7, 7), (5000, 5000)):
        fold = Fold(BoardNames(Floors("", "", "", "")), boards=boards)
        fold.profile("a", Profile("", "", hidden=True))
        assert fold.weight == weight
