"""Reading boards: one script call for all asks of a kind; asks in, answers out."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard_service.domain.answer import (
    After,
    Entry,
    ListAnswer,
    Page,
    Position,
    RankAnswer,
    Source,
    Stamp,
    TopAnswer,
)
from leaderboard_service.domain.board import Board, Floors
from leaderboard_service.store.boards import Broken, GenerationGone
from leaderboard_service.store.client import RedisLink, Script
from leaderboard_service.store.keys import Generation, unpack_profile


class NotKept(Exception):
    """The board's period lies before the first one that Redis keeps."""


@dataclass(frozen=True, slots=True)
class RankAsk:
    """Where one user stands."""

    board: Board
    user_id: str


@dataclass(frozen=True, slots=True)
class BatchAsk:
    """Where up to 500 users stand, each named once."""

    board: Board
    user_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopAsk:
    """A page of up to 500 from the top or after an entry, and one user's entry besides."""

    board: Board
    size: int
    after: After | None
    user_id: str


@dataclass(frozen=True, slots=True)
class AroundAsk:
    """Up to `count` (at most 500) entries with one user in the middle."""

    board: Board
    user_id: str
    count: int


Ask = RankAsk | BatchAsk | TopAsk | AroundAsk
Answer = RankAnswer | ListAnswer | TopAnswer
# An ask that cannot be answered here has the reason in its place.
Outcome = Answer | Broken | NotKept


class BoardReads:
    """Reads for many askers at once, with the pages that were read last.

    Each method answers all asks from one moment, in their order, with one stamp. Raises
    GenerationGone and RedisUnavailable.
    """

    _PAGES = 256

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._rank = Script("rank")
        self._batch = Script("batch")
        self._top = Script("top")
        self._around = Script("around")
        self._pages: OrderedDict[tuple[str, int, After | None], _KnownPage] = OrderedDict()
        self._pages_of = ""

    async def rank(self, generation: Generation, asks: Sequence[RankAsk]) -> list[Outcome]:
        """Single users' standings."""
        packed = [(ask.board.name, ask.user_id) for ask in asks]
        stamp, floors, answers = await self._ask(self._rank, generation, packed)
        return [
            _refused(ask.board, floors, raw) or _rank_answer(ask, stamp, raw)
            for ask, raw in zip(asks, answers, strict=True)
        ]

    async def batch(self, generation: Generation, asks: Sequence[BatchAsk]) -> list[Outcome]:
        """The entries of given users, best first."""
        packed = [(ask.board.name, ask.user_ids) for ask in asks]
        stamp, floors, answers = await self._ask(self._batch, generation, packed)
        return [
            _refused(ask.board, floors, raw) or _batch_answer(stamp, raw)
            for ask, raw in zip(asks, answers, strict=True)
        ]

    async def around(self, generation: Generation, asks: Sequence[AroundAsk]) -> list[Outcome]:
        """The entries around single users."""
        packed = [(ask.board.name, ask.user_id, ask.count) for ask in asks]
        stamp, floors, answers = await self._ask(self._around, generation, packed)
        return [
            _refused(ask.board, floors, raw) or ListAnswer(stamp, raw[0], _entries(*raw[1:5]))
            for ask, raw in zip(asks, answers, strict=True)
        ]

    async def top(self, generation: Generation, asks: Sequence[TopAsk]) -> list[Outcome]:
        """Pages. One whose position has not changed is not read again: it is the same object."""
        if self._pages_of != generation.id:
            self._pages.clear()
            self._pages_of = generation.id
        known = [self._pages.get((ask.board.name, ask.size, ask.after)) for ask in asks]
        packed = [_packed_top(ask, page) for ask, page in zip(asks, known, strict=True)]
        stamp, floors, answers = await self._ask(self._top, generation, packed)
        return [
            _refused(ask.board, floors, raw) or self._top_answer(ask, stamp, raw, page)
            for ask, page, raw in zip(asks, known, answers, strict=True)
        ]

    async def _ask(
        self, script: Script, generation: Generation, asks: Sequence[Any]
    ) -> tuple[Stamp, Floors, list[Any]]:
        answer = await self._link.run(
            script,
            [generation.meta, generation.profiles],
            [generation.board_prefix, json.dumps(asks, separators=(",", ":"))],
        )
        if not answer[0]:
            raise GenerationGone
        epoch, sequence, numbered_us, confirmed_us, floors = answer[1]
        stamp = Stamp(
            Source.REDIS, Position(epoch, int(sequence)), int(numbered_us), int(confirmed_us)
        )
        return stamp, Floors.decode(floors), answer[2]

    def _top_answer(
        self, ask: TopAsk, stamp: Stamp, raw: list[Any], known: "_KnownPage | None"
    ) -> TopAnswer:
        if len(raw) > 2:
            page = Page(_entries(*raw[3:7]), bool(raw[2]))
            self._remember(ask, _KnownPage(stamp.position, page))
        elif known is not None:
            page = known.page
        else:
            raise GenerationGone
        user = _standing_entry(ask.user_id, raw[1]) if raw[1] else None
        return TopAnswer(stamp, raw[0], page, user)

    def _remember(self, ask: TopAsk, page: "_KnownPage") -> None:
        key = (ask.board.name, ask.size, ask.after)
        self._pages[key] = page
        self._pages.move_to_end(key)
        if len(self._pages) > self._PAGES:
            self._pages.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _KnownPage:
    position: Position
    page: Page


def _packed_top(ask: TopAsk, known: _KnownPage | None) -> tuple[str | int, ...]:
    after = ask.after
    has = f"{known.position.epoch}:{known.position.sequence}" if known else ""
    return (
        ask.board.name,
        ask.size,
        str(-after.score) if after else "",
        after.user_id if after else "",
        has,
        ask.user_id,
    )


def _refused(board: Board, floors: Floors, raw: object) -> Broken | NotKept | None:
    if not floors.keeps(board.window, board.period):
        return NotKept()
    return None if raw else Broken(board.name)


def _profile(user_id: str, packed: str | None) -> tuple[str, str]:
    """Name and avatar; the user id stands for a name that is empty or not known."""
    if packed is None:
        return user_id, ""
    name, avatar_url = unpack_profile(packed)
    return name or user_id, avatar_url


def _rank_answer(ask: RankAsk, stamp: Stamp, raw: list[Any]) -> RankAnswer:
    total, standing = raw
    if not standing:
        return RankAnswer(stamp, total, None, 0, 0)
    entry = _standing_entry(ask.user_id, standing)
    return RankAnswer(stamp, total, entry, standing[2], -int(standing[3]) - entry.score)


def _standing_entry(user_id: str, standing: list[Any]) -> Entry:
    name, avatar_url = _profile(user_id, standing[4])
    return Entry(standing[0], user_id, -int(standing[1]), name, avatar_url)


def _batch_answer(stamp: Stamp, raw: list[Any]) -> ListAnswer:
    total, found, profiles = raw
    entries = []
    for i, packed in enumerate(profiles):
        user_id, score, rank = found[3 * i : 3 * i + 3]
        entries.append(Entry(rank, user_id, -int(score), *_profile(user_id, packed)))
    entries.sort(key=lambda entry: (entry.rank, entry.user_id))
    return ListAnswer(stamp, total, tuple(entries))


def _entries(
    first_rank: int, first: int, found: list[str], profiles: list[str | None]
) -> tuple[Entry, ...]:
    """Consecutive entries, the first at index `first`, from (user, negated score) pairs.

    Equal scores share a rank: that of the best placed, who may stand before the first entry.
    """
    entries: list[Entry] = []
    rank, previous = first_rank, found[1] if found else ""
    for i, packed in enumerate(profiles):
        user_id, score = found[2 * i], found[2 * i + 1]
        if score != previous:
            rank, previous = first + i + 1, score
        entries.append(Entry(rank, user_id, -int(score), *_profile(user_id, packed)))
    return tuple(entries)
