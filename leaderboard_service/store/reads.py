"""Reading boards: one script call per part for all asks of a kind; asks in, answers out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

from leaderboard_service.domain.answer import ListAnswer, RankAnswer, TopAnswer
from leaderboard_service.domain.question import AroundAsk, Ask, BatchAsk, RankAsk, TopAsk
from leaderboard_service.store import decode
from leaderboard_service.store.batches import read_batches
from leaderboard_service.store.client import RedisLink, Script
from leaderboard_service.store.keys import Generation
from leaderboard_service.store.pages import KnownPage, Pages
from leaderboard_service.store.reading import Packed, PartsDiffer, Reading, Refusal, Uneven

Answer = RankAnswer | ListAnswer | TopAnswer
Outcome = Answer | Refusal
"""An ask that cannot be answered here has the reason in its place."""

AskT = TypeVar("AskT", bound=Ask)

_TRIES = 3
_PAUSE_S = 0.002


class BoardReads:
    """Reads for many askers at once, with the pages that were read last.

    Each method answers all asks from one moment, in their order, with one stamp. Boards of one
    part take one round trip. Of several, the part that knows a user is asked before the others;
    when they are not at one position, all is asked again, a few times, and then refused. Raises
    GenerationGone and RedisUnavailable.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._rank, self._batch, self._top, self._around = (
            Script(name, shares=("prelude", "read")) for name in ("rank", "batch", "top", "around")
        )
        self._pages = Pages()

    async def rank(self, generation: Generation, asks: Sequence[RankAsk]) -> list[Outcome]:
        """Single users' standings."""
        return await self._evenly(self._ranks, generation, asks)

    async def batch(self, generation: Generation, asks: Sequence[BatchAsk]) -> list[Outcome]:
        """The entries of given users, best first."""
        return await self._evenly(self._batches, generation, asks)

    async def around(self, generation: Generation, asks: Sequence[AroundAsk]) -> list[Outcome]:
        """The entries around single users."""
        return await self._evenly(self._arounds, generation, asks)

    async def top(self, generation: Generation, asks: Sequence[TopAsk]) -> list[Outcome]:
        """Pages. One whose position has not changed is not read again: it is the same object."""
        return await self._evenly(self._tops, generation, asks)

    async def _evenly(
        self,
        read: Callable[[Reading, Sequence[AskT]], Awaitable[list[Outcome]]],
        generation: Generation,
        asks: Sequence[AskT],
    ) -> list[Outcome]:
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            try:
                return await read(Reading(self._link, generation), asks)
            except PartsDiffer:
                continue
        return [Uneven() for _ in asks]

    async def _ranks(self, reading: Reading, asks: Sequence[RankAsk]) -> list[Outcome]:
        packed = [(ask.user_id, (ask.board.name, ask.mode, ask.user_id)) for ask in asks]
        answers = await reading.ask_about(self._rank, packed)
        return [
            reading.refusal(ask.board, of_parts) or decode.rank_answer(reading, ask, of_parts)
            for ask, of_parts in zip(asks, answers, strict=True)
        ]

    async def _arounds(self, reading: Reading, asks: Sequence[AroundAsk]) -> list[Outcome]:
        packed = [(ask.user_id, (ask.board.name, ask.mode, ask.user_id, ask.count)) for ask in asks]
        answers = await reading.ask_about(self._around, packed)
        return [
            reading.refusal(ask.board, of_parts) or decode.around_answer(reading, ask, of_parts)
            for ask, of_parts in zip(asks, answers, strict=True)
        ]

    async def _batches(self, reading: Reading, asks: Sequence[BatchAsk]) -> list[Outcome]:
        return list(await read_batches(reading, self._batch, asks))

    async def _tops(self, reading: Reading, asks: Sequence[TopAsk]) -> list[Outcome]:
        known = [self._pages.find(reading.generation, ask) for ask in asks]
        questions = [
            (part, _packed_top(reading, part, ask, page))
            for ask, page in zip(asks, known, strict=True)
            for part in reading.parts
        ]
        flat = iter(await reading.ask(self._top, questions))
        answers = [list(islice(flat, len(reading.parts))) for _ in asks]
        if len(reading.parts) > 1:
            self._check_even(asks, answers)
        standings = await self._standings(reading, asks, answers)
        return [
            self._top_answer(reading, *one)
            for one in zip(asks, known, answers, standings, strict=True)
        ]

    def _check_even(self, asks: Sequence[TopAsk], answers: Sequence[Sequence[Any]]) -> None:
        """Raises PartsDiffer when only some parts of a known page have changed: when they were
        mended.
        """
        for ask, of_parts in zip(asks, answers, strict=True):
            changed = {len(answer) > 3 for answer in of_parts if isinstance(answer, list)}
            if len(changed) > 1:
                self._pages.forget(ask)
                raise PartsDiffer

    async def _standings(
        self, reading: Reading, asks: Sequence[TopAsk], answers: Sequence[Sequence[Any]]
    ) -> list[Sequence[Any]]:
        """Of each ask, what all parts say of where the added user stands, the own part first; the
        others are yet to be asked. Nothing for one who is not on the board.
        """
        own = [_own_standing(reading, *one) for one in zip(asks, answers, strict=True)]
        if len(reading.parts) == 1:
            return [(standing,) if standing else () for standing in own]
        told = [
            (reading.part_of(ask.user_id), (ask.board.name, ask.mode, ask.user_id, standing[4]))
            for ask, standing in zip(asks, own, strict=True)
            if standing
        ]
        others = iter(await reading.ask_others(self._rank, told))
        return [(standing, *next(others)) if standing else () for standing in own]

    def _top_answer(
        self,
        reading: Reading,
        ask: TopAsk,
        known: KnownPage | None,
        answers: Sequence[Any],
        standings: Sequence[Any],
    ) -> Outcome:
        for board in (*ask.also, ask.board):
            refusal = reading.refusal(board, (*answers, *standings))
            if refusal is not None:
                return refusal
        if known is None or len(answers[0]) > 3:
            known = KnownPage(dict(reading.versions), decode.page(reading, ask, answers))
            self._pages.keep(reading.generation, ask, known)
        return decode.top_answer(reading, ask, answers, known.page, standings)


def _packed_top(reading: Reading, part: int, ask: TopAsk, known: KnownPage | None) -> Packed:
    after = ask.after
    has = known.versions[part] if known else ""
    added = part == reading.part_of(ask.user_id)
    return (
        ask.board.name,
        ask.mode,
        ask.size,
        str(-after.score) if after else "",
        after.user_id if after else "",
        has,
        ask.user_id if added else "",
        [board.name for board in ask.also],
    )


def _own_standing(reading: Reading, ask: TopAsk, answers: Sequence[Any]) -> Sequence[Any]:
    """`standing` of the added user from the part that knows that user; nothing if it has none."""
    if not ask.user_id:
        return ()
    own = answers[reading.part_of(ask.user_id)]
    return own[1] if isinstance(own, list) and len(own[1]) > 1 else ()
