"""Boards in Redis verified against PostgreSQL: which, group by group, and what is kept of it."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from leaderboard_service import metrics
from leaderboard_service.comparison import Compared, Comparison
from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Board, BoardNames, Floors, parse_board_name
from leaderboard_service.domain.expected import Difference
from leaderboard_service.domain.fold import Correction
from leaderboard_service.domain.groups import Group, groups_of
from leaderboard_service.history import History
from leaderboard_service.snapshots import Snapshots
from leaderboard_service.status import Status
from leaderboard_service.store.boards import BoardWriter, GenerationGone
from leaderboard_service.store.checks import BoardChecks
from leaderboard_service.store.keys import Generation
from shared.errors import FailedPrecondition, invalid_field
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub

log = structlog.get_logger(__name__)

MAX_MISMATCHES = 100_000
"""Boards of which more is wrong are to be rebuilt."""
_MOST_LOGGED = 100
_EVERYTHING = Floors("", "", "", "")

Tell = Callable[[Compared], Awaitable[None]]


@dataclass
class Tally:
    """What a verification has come to so far."""

    standings: int = 0
    """As many as there are to compare, as far as known."""
    checked: int = 0
    found: int = 0
    repaired: int = 0
    position: Position = field(default_factory=lambda: Position("", 0))


@dataclass(frozen=True)
class Sides:
    """Where a verification reads from, and whom it tells what it mends."""

    snapshots: Snapshots
    history: ProgressServiceStub
    checks: BoardChecks
    writer: BoardWriter
    touched: Callable[[Correction], None] = lambda _: None
    """Called with what was mended."""


class Verification:
    """Everything to compare is split into groups of boards; each is compared at the positions
    that Redis has meanwhile.

    Raises RedisUnavailable, GenerationGone and Broken as the stores do; aio.AioRpcError,
    TimeoutError, SnapshotCut and HistoryLost when ProgressService does not tell what it must;
    Unavailable (BOARDS_BEHIND); FailedPrecondition (TOO_MANY_MISMATCHES).
    """

    def __init__(self, sides: Sides, status: Status) -> None:
        self._sides = sides
        self._status = status

    async def groups(self, generation: Generation, boards: Sequence[Board] = ()) -> list[Group]:
        """The boards, or without any named each one that either store has of the periods that
        Redis keeps. Costs PostgreSQL a copy of them.

        Raises InvalidInput for a board that Redis does not keep.
        """
        meta = await self._sides.writer.meta(generation)
        if meta is None:
            raise GenerationGone
        floors = meta.floors
        for board in boards:
            if not floors.keeps(board.window, board.period):
                first = floors.of(board.window)
                raise invalid_field("boards", f"{board.name}: Redis keeps none before {first}")
        names = [board.name for board in boards]
        counts = dict.fromkeys(names, 0)
        counts |= await self._sides.snapshots.counts(names, floors)
        if not boards:
            for name, members in (await self._sides.checks.boards(generation)).items():
                if _is_kept(name, floors):
                    counts[name] = max(counts.get(name, 0), members)
        return groups_of(counts)

    async def compare(
        self, generation: Generation, group: Group, tally: Tally, tell: Tell, *, repair: bool
    ) -> None:
        """Compares a group, and with `repair` mends it."""
        expected, position = await self._sides.snapshots.expected(group)

        async def note(compared: Compared) -> None:
            self._note(tally, generation, compared)
            await tell(compared)
            if tally.found > MAX_MISMATCHES:
                raise FailedPrecondition(
                    "TOO_MANY_MISMATCHES",
                    f"More than {MAX_MISMATCHES:,} standings differ; these are the first.",
                )

        history = History(self._sides.history, position)
        try:
            await Comparison(
                checks=self._sides.checks,
                generation=generation,
                expected=expected,
                history=history,
                names=BoardNames(_EVERYTHING),
                repair=repair,
                tell=note,
            ).run()
        finally:
            await history.close()

    def complete(self, tally: Tally) -> None:
        """Everything was compared."""
        self._status.last_verify_us = time.time_ns() // 1000
        self._status.last_verify_mismatches = tally.found
        if tally.found > _MOST_LOGGED:
            log.error("more standings differ", count=tally.found - _MOST_LOGGED)

    def _note(self, tally: Tally, generation: Generation, compared: Compared) -> None:
        wrong = compared.differences
        mended = len(wrong) if compared.mended else 0
        for one in wrong[: max(_MOST_LOGGED - tally.found, 0)]:
            _log(one, generation, compared)
        for one in wrong:
            metrics.BOARD_MISMATCHES.labels(one.kind).inc()
            if compared.mended:
                self._sides.touched(Correction(one.board, one.user_id, one.expected))
        metrics.STANDINGS_VERIFIED.inc(compared.checked)
        metrics.BOARD_REPAIRS.inc(mended)
        tally.position = compared.part.position
        tally.checked += compared.checked
        tally.standings = max(tally.standings, tally.checked)
        tally.found += len(wrong)
        tally.repaired += mended
        self._status.standings_verified += compared.checked
        self._status.mismatches_found += len(wrong)
        self._status.standings_repaired += mended


def standings_of(groups: Iterable[Group]) -> int:
    """About how many standings they have."""
    return sum(group.standings for group in groups)


def _is_kept(name: str, floors: Floors) -> bool:
    """Whether it names a board whose period is kept: nobody reads a key of another name."""
    try:
        board = parse_board_name(name)
    except ValueError:
        return False
    return floors.keeps(board.window, board.period)


def _log(one: Difference, generation: Generation, compared: Compared) -> None:
    part = compared.part
    log.error(
        "standing differs",
        kind=one.kind.value,
        board=one.board,
        user_id=one.user_id,
        expected=one.expected,
        found=one.found,
        repaired=compared.mended,
        epoch=part.position.epoch,
        sequence=part.position.sequence,
        generation=generation.id,
        part=part.number,
        built_us=part.built_us,
        floors=part.floors.encode(),
    )
