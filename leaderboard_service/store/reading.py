"""One reading of boards: questions to the parts of a generation, all answered at one position."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from leaderboard_service.domain import merge
from leaderboard_service.domain.answer import Position, Source, Stamp
from leaderboard_service.domain.board import Board, Floors
from leaderboard_service.store.boards import Broken, GenerationGone
from leaderboard_service.store.client import RedisLink, Run, Script
from leaderboard_service.store.keys import Generation

MOST_DISTINCT = 1000
"""How many different scores may be higher than one whose dense rank is asked for."""

Packed = tuple[Any, ...]
"""An ask as its script takes it."""

_TOO_DEEP = 0
_encode = json.JSONEncoder(separators=(",", ":")).encode
_NO_FLOORS = Floors("", "", "", "")
_decode_floors = lru_cache(maxsize=64)(Floors.decode)


class NotKept(Exception):
    """The board's period lies before the first one that Redis keeps."""


class TooDeep(Exception):
    """A dense rank with more distinct scores above it than one script may look at."""


class Uneven(Exception):
    """The parts of the boards were at different positions, each time that they were asked."""


Refusal = Broken | NotKept | TooDeep | Uneven
"""Why an ask is not answered from Redis."""


class PartsDiffer(Exception):
    """The parts have not answered at one position: a step is being applied."""


class Reading:
    """Asks parts in as many rounds as it takes; `stamp`, `distinct` and `refusal` are for when
    all have been asked.

    Asking raises GenerationGone, PartsDiffer and RedisUnavailable.
    """

    def __init__(self, link: RedisLink, generation: Generation) -> None:
        self._link = link
        self.generation = generation
        self.parts = range(len(generation.parts))
        """The numbers of all parts."""
        self.part_of = generation.part_of
        self.versions: dict[int, str] = {}
        """Of each part, when it was asked first, what changes with anything in it (top.lua)."""
        self._first: list[str] = []
        self._confirmed_us = 0
        self._floors = _NO_FLOORS
        self._walks: dict[str, list[Sequence[int]]] = {}

    async def ask(self, script: Script, questions: Sequence[tuple[int, Packed]]) -> list[Any]:
        """The answers, in the order of the questions, each of which goes to one part."""
        shares: dict[int, list[Packed]] = {}
        for part, ask in questions:
            shares.setdefault(part, []).append(ask)
        runs = [self._run(script, part, _encode(asks)) for part, asks in shares.items()]
        answers = await self._run_all(shares, runs)
        if len(answers) == 1:
            return answers[0]
        left = dict(zip(shares, map(iter, answers), strict=True))
        return [next(left[part]) for part, _ in questions]

    async def ask_each(
        self, script: Script, parts: Sequence[int], asks: Sequence[Packed]
    ) -> list[list[Any]]:
        """The same is asked of each of these parts: their answers, in the order of the asks."""
        encoded = _encode(asks)
        return await self._run_all(parts, [self._run(script, part, encoded) for part in parts])

    async def ask_others(
        self, script: Script, questions: Sequence[tuple[int, Packed]]
    ) -> list[tuple[Any, ...]]:
        """To each question the answers of all parts but that one."""
        homes = {home for home, _ in questions}
        others = [part for part in self.parts if {part} != homes]
        if not homes or not others:
            return [()] * len(questions)
        # Whoever is asked for some is asked for all: that is sooner said than who is left out.
        answers = await self.ask_each(script, others, [ask for _, ask in questions])
        return [
            tuple(
                of_part[number]
                for part, of_part in zip(others, answers, strict=True)
                if part != home
            )
            for number, (home, _) in enumerate(questions)
        ]

    async def ask_about(
        self, script: Script, asks: Sequence[tuple[str, Packed]]
    ) -> list[tuple[Any, ...]]:
        """To each ask about a user the answers of all parts, the user's own one first. The others
        are told the score besides, the fifth of what the own part answers, if it answers that.
        """
        questions = [(self.part_of(user_id), ask) for user_id, ask in asks]
        own = await self.ask(script, questions)
        if len(self.parts) == 1:
            return [(answer,) for answer in own]
        told = [
            (home, (*ask, answer[4]) if isinstance(answer, list) and len(answer) > 1 else ask)
            for (home, ask), answer in zip(questions, own, strict=True)
        ]
        others = await self.ask_others(script, told)
        return [(mine, *theirs) for mine, theirs in zip(own, others, strict=True)]

    def _run(self, script: Script, number: int, encoded: str) -> Run:
        part = self.generation.parts[number]
        arguments = (part.board_prefix, encoded, MOST_DISTINCT + 1)
        return Run(script, (part.meta, part.profiles), arguments)

    async def _run_all(self, parts: Iterable[int], runs: Sequence[Run]) -> list[list[Any]]:
        found = await self._link.run_all(runs)
        return [self._take(*one) for one in zip(parts, found, strict=True)]

    def _take(self, part: int, answer: list[Any]) -> list[Any]:
        if not answer[0]:
            raise GenerationGone
        stamp: list[str] = answer[1]
        self.versions.setdefault(part, f"{stamp[0]}:{stamp[1]}:{stamp[5]}")
        try:
            confirmed_us, floors = int(stamp[3]), _decode_floors(stamp[4])
            int(stamp[1]), int(stamp[2])
        except (AttributeError, TypeError, ValueError):
            # No release has written this: it is to be built anew.
            raise GenerationGone from None
        if not self._first:
            self._first, self._confirmed_us, self._floors = stamp, confirmed_us, floors
        elif stamp[:2] != self._first[:2]:
            raise PartsDiffer
        else:
            self._confirmed_us = min(self._confirmed_us, confirmed_us)
            if floors is not self._floors:
                self._floors = self._floors.raised_to(floors)
        if len(answer) > 3:
            walks = iter(answer[3])
            for board, scores in zip(walks, walks, strict=True):
                self._walks.setdefault(board, []).append(list(map(int, scores)))
        answers: list[Any] = answer[2]
        return answers

    @cached_property
    def stamp(self) -> Stamp:
        """What the answers reflect; confirmed when the part was that was confirmed first."""
        epoch, sequence, numbered_us = self._first[:3]
        position = Position(epoch, int(sequence))
        return Stamp(Source.REDIS, position, int(numbered_us), self._confirmed_us)

    def distinct(self, board: Board) -> Sequence[int]:
        """The distinct scores of a board that parts have walked through, negated and in order."""
        walks = self._walks.get(board.name)
        if not walks:
            return ()
        if len(walks) > 1:
            walks[:] = [merge.union(walks)]
        return walks[0]

    def refusal(self, board: Board, answers: Iterable[object]) -> Refusal | None:
        """Why a question about this board, to which parts gave these answers, is not answered."""
        if not self._floors.keeps(board.window, board.period):
            return NotKept()
        for answer in answers:
            if not isinstance(answer, list):
                return TooDeep() if answer == _TOO_DEEP else Broken(answer)
        return None
