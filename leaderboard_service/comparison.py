"""A group of boards in Redis compared with PostgreSQL, and mended, while both go on."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from leaderboard_service.changes import steps_of
from leaderboard_service.domain.board import BoardNames
from leaderboard_service.domain.expected import Difference, Due, Expected, stranger
from leaderboard_service.history import History
from leaderboard_service.pace import rest
from leaderboard_service.store.boards import Broken, FloorsRaised, Moved
from leaderboard_service.store.checks import CHUNK, BoardChecks, Mend, PartState
from leaderboard_service.store.keys import Generation
from shared.errors import Unavailable

_PATIENCE_S = 30.0
"""How long Redis may be behind PostgreSQL."""
_HISTORY_S = 1.0
_AGAIN_S = 0.02
_MEND_S = 10.0
_CHANGES = 500
_PACK = 50


class Placed(Protocol):
    """What was read of a part, as of its position."""

    @property
    def part(self) -> PartState: ...


PlacedT = TypeVar("PlacedT", bound=Placed)


@dataclass(frozen=True, slots=True)
class Compared:
    """A few standings were compared: how many, as of when, what is wrong with them, and whether
    that was mended.
    """

    part: PartState
    checked: int
    differences: tuple[Difference, ...] = ()
    mended: bool = False


Tell = Callable[[Compared], Awaitable[None]]
Judge = Callable[[str, str, float], Difference | None]


@dataclass
class Comparison:
    """Compares each standing once, at the position that its part has when it is read: `expected`
    is moved there by `history`. Nothing differs only because both go on meanwhile.

    `run` raises Broken, after everything was compared, when there is what cannot be mended: counts
    that are not so, profiles that are lost or wrong about being hidden. It raises Unavailable
    (BOARDS_BEHIND), and as `history` and `checks` do.
    """

    checks: BoardChecks
    generation: Generation
    expected: Expected
    history: History
    names: BoardNames
    repair: bool
    tell: Tell
    _told: set[tuple[str, str]] = field(default_factory=set)
    _broken: str = ""

    async def run(self) -> None:
        """Compares all of it."""
        boards = tuple(self.expected.scores)
        beside: dict[str, set[str]] = {board: set() for board in boards}
        parts = range(len(self.generation.parts))
        for part in parts:
            await self._compare_hidden(part, beside)
        for some in self._packs():
            seen: dict[str, set[str]] = {board: set() for board in some}
            for part in parts:
                await self._compare_members(part, seen)
            for board in some:
                await self._compare_unseen(board, seen[board], beside[board])
        if self._broken:
            raise Broken(self._broken)

    def _packs(self) -> Iterator[list[str]]:
        """The boards, of small ones as many as make a chunk."""
        pack: list[str] = []
        standings = 0
        for board, scores in self.expected.scores.items():
            if pack and (standings + len(scores) > CHUNK or len(pack) >= _PACK):
                yield pack
                pack, standings = [], 0
            pack.append(board)
            standings += len(scores)
        if pack:
            yield pack

    async def _compare_hidden(self, part: int, seen: dict[str, set[str]]) -> None:
        """The scores that are kept beside the boards."""
        scan, boards, cursor = self.checks.scan_hidden, tuple(seen), "0"
        while True:
            read = partial(scan, self.generation, part, boards, cursor)
            chunk = await self._at_one_position(read)
            for user in chunk.miscounted:
                self._broken = self._broken or f"hidden scores of {user}"
            found = _Found(chunk.part)
            for user, board, score in chunk.scores:
                self._judge(found, self.expected.kept, seen[board], (board, user, score))
            await self._conclude(found)
            cursor = chunk.cursor
            if cursor == "0":
                return
            await rest()

    async def _compare_members(self, part: int, seen: dict[str, set[str]]) -> None:
        """Everyone who is on these boards, in one part."""
        cursors = dict.fromkeys(seen, "0")
        while cursors:
            read = partial(self.checks.scan_boards, self.generation, part, cursors)
            chunk = await self._at_one_position(read)
            found = _Found(chunk.part)
            for one in chunk.boards:
                if one.miscounted:
                    self._broken = self._broken or one.board
                for user, score in one.scores:
                    standing = (one.board, user, score)
                    self._judge(found, self.expected.listed, seen[one.board], standing)
            await self._conclude(found)
            cursors = {one.board: one.cursor for one in chunk.boards if one.cursor != "0"}
            await rest()

    def _judge(
        self, found: "_Found", judge: Judge, seen: set[str], standing: tuple[str, str, float]
    ) -> None:
        """Notes whether a standing is as it must be, unless it was seen before."""
        board, user, score = standing
        if user in seen or not self.expected.holds(user):
            return
        found.checked += 1
        if self._is_stranger(found.part, user):
            found.wrong.append(stranger(board, user, score))
            return
        seen.add(user)
        difference = judge(board, user, score)
        if difference is not None:
            found.wrong.append(difference)

    async def _compare_unseen(self, board: str, seen: set[str], beside: set[str]) -> None:
        """Everyone who has a standing on the board and was not seen where it must be."""
        shares: dict[int, list[str]] = {}
        for user in self.expected.unseen(board, seen):
            if user not in beside or self.expected.hidden.get(user) is False:
                shares.setdefault(self.generation.part_of(user), []).append(user)
        for part, share in shares.items():
            for users in _chunks(share, CHUNK):
                read = partial(self.checks.look_up, self.generation, part, board, users)
                chunk = await self._at_one_position(read)
                found = _Found(chunk.part, len(chunk.scores))
                for scores in chunk.scores:
                    difference = self.expected.looked_up(board, *scores)
                    if difference is not None:
                        found.wrong.append(difference)
                await self._conclude(found)
                await rest()

    async def _conclude(self, found: "_Found") -> None:
        """Mends what is wrong, and tells it: each standing once, wherever it is wrong."""
        checked, all_wrong = found.checked, await self._without_erased(found.wrong)
        for wrong in _chunks(all_wrong, CHUNK) if all_wrong else [all_wrong]:
            mended = bool(wrong) and self.repair and await self._mend(found.part, wrong)
            fresh = [one for one in wrong if (one.board, one.user_id) not in self._told]
            self._told.update((one.board, one.user_id) for one in fresh)
            if checked or fresh:
                await self.tell(Compared(found.part, checked, tuple(fresh), mended))
            checked = 0

    async def _without_erased(self, wrong: list[Difference]) -> list[Difference]:
        """Those whose user stays. An erasure takes the user's earlier changes out of the history
        in the moment in which it is numbered: who had applied them by then and who had not differ
        about that user, until both come to the erasure.
        """
        if not wrong:
            return wrong
        erased = await self.history.erased({one.user_id for one in wrong})
        return [one for one in wrong if one.user_id not in erased]

    async def _mend(self, part: PartState, wrong: Sequence[Difference]) -> bool:
        """Sets what is due by PostgreSQL at the very position at which Redis is then."""
        give_up = time.monotonic() + _MEND_S
        while time.monotonic() < give_up:
            mends = [Mend(one.board, one.user_id, self._due(part, one)) for one in wrong]
            try:
                await self.checks.mend(self.generation, part, mends)
            except Broken as broken:
                self._broken = self._broken or str(broken)
                return False
            except (Moved, FloorsRaised):
                look = partial(self.checks.look_up, self.generation, part.number)
                part = (await self._at_one_position(partial(look, wrong[0].board, ()))).part
            else:
                return True
        return False

    def _due(self, part: PartState, wrong: Difference) -> Due:
        if self._is_stranger(part, wrong.user_id):
            return Due(0, None)
        return self.expected.due(wrong.board, wrong.user_id)

    def _is_stranger(self, part: PartState, user: str) -> bool:
        return self.generation.part_of(user) != part.number

    async def _at_one_position(self, read: Callable[[], Awaitable[PlacedT]]) -> PlacedT:
        """What `read` answers, with `expected` moved to just where its part is."""
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            found = await read()
            position = found.part.position
            behind = position.sequence < self.expected.sequence
            reached = not behind and await self.history.reach(position, _HISTORY_S)
            # Also part of the way: no part of these boards goes back, and `history` holds so much.
            await self._move(position.sequence)
            if reached:
                return found
            if time.monotonic() > give_up:
                raise Unavailable("BOARDS_BEHIND", "Redis does not get to where PostgreSQL is.")
            await asyncio.sleep(_AGAIN_S * random.uniform(0.5, 1.0))

    async def _move(self, sequence: int) -> None:
        while changes := self.history.take(sequence, _CHANGES):
            for step in steps_of(changes, self.names):
                self.expected.apply(step)
            self.expected.sequence = changes[-1].sequence
            await asyncio.sleep(0)


@dataclass
class _Found:
    """What was found in a chunk."""

    part: PartState
    checked: int = 0
    wrong: list[Difference] = field(default_factory=list)


ItemT = TypeVar("ItemT")


def _chunks(items: Sequence[ItemT], size: int) -> Iterator[Sequence[ItemT]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
