"""Reading parts of boards to compare them with PostgreSQL, and mending what is wrong."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Floors
from leaderboard_service.domain.expected import Due
from leaderboard_service.store.boards import BoardWriter, Broken, GenerationGone, check_answer
from leaderboard_service.store.client import RedisLink, Script
from leaderboard_service.store.keys import Generation

CHUNK = 500
"""About how many members one script looks at."""
_HIDDEN_CELLS = 10_000
"""About how many scores of hidden users one script looks at, one for each user and board."""


@dataclass(frozen=True, slots=True)
class PartState:
    """Where a part was when something was read of it."""

    number: int
    position: Position
    floors: Floors
    built_us: int


@dataclass(frozen=True, slots=True)
class Members:
    """Some members of a board. `cursor` asks for the next; "0": these were the last."""

    board: str
    miscounted: bool
    """The board has more or fewer members than meta counts."""
    cursor: str
    scores: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class BoardsChunk:
    """Some members of some boards."""

    part: PartState
    boards: list[Members]


@dataclass(frozen=True, slots=True)
class LookUp:
    """Users with their scores on a board and beside it, 0 for none; no one when the board's
    period is kept no more.
    """

    part: PartState
    scores: list[tuple[str, float, float]]


@dataclass(frozen=True, slots=True)
class HiddenChunk:
    """Scores that are kept of some hidden users: (user, board, score). `cursor` as above."""

    part: PartState
    cursor: str
    scores: list[tuple[str, str, float]]
    miscounted: list[str]
    """Users of whom more or fewer are kept than meta counts."""


@dataclass(frozen=True, slots=True)
class Mend:
    """What is to be set."""

    board: str
    user_id: str
    due: Due


class BoardChecks:
    """What a comparison asks of Redis: but for `boards`, each call is one script on one part.

    Raises GenerationGone, RedisUnavailable, and Broken when profiles are lost.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._writer = BoardWriter(link)
        self._scan_boards = _read_script("scan_boards")
        self._look_up = _read_script("look_up")
        self._scan_hidden = _read_script("scan_hidden")
        self._mend = Script("mend", shares=("prelude", "step"))

    async def scan_boards(
        self, generation: Generation, part: int, cursors: Mapping[str, str]
    ) -> BoardsChunk:
        """Members of boards in a part, about CHUNK in all, by the boards' cursors: "0" at first.
        A user may be seen twice; whoever is on the board from the first to the last is seen.
        """
        count = -(-CHUNK // len(cursors))
        flat = [argument for pair in cursors.items() for argument in pair]
        state, (found,) = await self._read(self._scan_boards, generation, part, (count, *flat))
        boards = []
        for board, (board_state, cursor, members) in zip(cursors, found, strict=True):
            scores = [(user, -_score(score)) for user, score in _pairs(members)]
            boards.append(Members(board, board_state == "miscounted", cursor, scores))
        return BoardsChunk(state, boards)

    async def look_up(
        self, generation: Generation, part: int, board: str, users: Sequence[str]
    ) -> LookUp:
        """What there is of these users, of that part and at most CHUNK; of no one: the part."""
        state, rest = await self._read(self._look_up, generation, part, (board, *users))
        _, on_board, kept = rest
        each = zip(users, on_board, kept, strict=False)
        return LookUp(state, [(user, -_score(score), _score(held)) for user, score, held in each])

    async def scan_hidden(
        self, generation: Generation, part: int, boards: Sequence[str], cursor: str
    ) -> HiddenChunk:
        """Scores of hidden users on these boards, as `scan_boards`."""
        count = max(_HIDDEN_CELLS // len(boards), 1)
        state, rest = await self._read(
            self._scan_hidden, generation, part, (cursor, count, *boards)
        )
        cursor, users = rest
        scores = [
            (user, boards[number - 1], _score(score))
            for user, _, found in users
            for number, score in _pairs(found)
        ]
        miscounted = [user for user, counted, _ in users if not counted]
        return HiddenChunk(state, cursor, scores, miscounted)

    async def boards(self, generation: Generation) -> dict[str, int]:
        """Every board that meta counts, with its members, or that there is a key of."""
        counts: dict[str, int] = {}
        async for found in self._link.scan(generation.board_pattern):
            counts.update((generation.board_of(key), 0) for key in found)
        return counts | await self._writer.board_counts(generation)

    async def mend(self, generation: Generation, state: PartState, mends: Sequence[Mend]) -> int:
        """Sets standings of users of a part, at most CHUNK, if it is as it was in `state`; how
        many were different.

        Raises Moved or FloorsRaised if it is not, and Broken when that does not mend it; nothing
        is changed then.
        """
        part = generation.parts[state.number]
        epoch, sequence = state.position.epoch, state.position.sequence
        floors = state.floors.encode()
        packed = [
            (mend.board, mend.user_id, mend.due.score, _shown(mend.due.hidden)) for mend in mends
        ]
        answer = await self._link.run(
            self._mend,
            [part.meta, part.profiles],
            [
                *(part.board_prefix, part.hidden_prefix),
                *(epoch, sequence, floors),
                *(epoch, sequence, 0, 0),
                json.dumps(packed, separators=(",", ":")),
            ],
        )
        check_answer(answer)
        return int(answer[1])

    async def _read(
        self, script: Script, generation: Generation, number: int, args: Sequence[str | int]
    ) -> tuple[PartState, list[Any]]:
        part = generation.parts[number]
        answer = await self._link.run(
            script, [part.meta, part.profiles], [part.board_prefix, part.hidden_prefix, *args]
        )
        if answer[0] == "gone":
            raise GenerationGone
        if answer[0] == "broken":
            raise Broken(answer[1])
        epoch, sequence, floors, built_us = answer[1:5]
        position = Position(epoch, int(sequence))
        return PartState(number, position, Floors.decode(floors), int(built_us)), answer[5:]


def _read_script(name: str) -> Script:
    return Script(name, shares=("prelude", "part"))


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    each = iter(flat)
    return zip(each, each, strict=True)


def _shown(hidden: bool | None) -> str:  # noqa: FBT001 - a state
    return "" if hidden is None else "h" if hidden else "s"


def _score(text: str | None) -> float:
    """A stored score, exact up to 2^53; 0 for none, and not a number for what is not one."""
    if text is None:
        return 0
    try:
        return float(text)
    except ValueError:
        return math.nan
