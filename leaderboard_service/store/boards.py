"""Writing boards: steps along the history, confirmations, floors."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Floors
from leaderboard_service.domain.fold import Correction, Erasure, Fold, Reset, Step
from leaderboard_service.store import keys
from leaderboard_service.store.client import RedisLink, Script
from leaderboard_service.store.keys import Generation


class GenerationGone(Exception):
    """The generation has no meta (any more)."""


class Broken(Exception):
    """Keys are not as meta says: Redis has lost some, or someone else wrote to them."""


class Moved(Exception):
    """Redis is at another position than expected: someone else has written."""

    def __init__(self, position: Position) -> None:
        super().__init__(f"at {position.epoch}:{position.sequence}")
        self.position = position


class FloorsRaised(Exception):
    """Redis keeps from other periods on than expected."""

    def __init__(self, floors: Floors) -> None:
        super().__init__(floors.encode())
        self.floors = floors


@dataclass(frozen=True, slots=True)
class Meta:
    """What a generation says of itself; times as in `Stamp`."""

    position: Position
    numbered_us: int
    confirmed_us: int
    floors: Floors
    built_us: int = 0
    """When it was loaded."""
    fields: int = field(default=0, compare=False)
    """How many fields it has, and so about how many boards; 0 until a batch was applied."""


@dataclass(frozen=True, slots=True)
class Advance:
    """The position that a step leads to."""

    position: Position
    numbered_us: int
    confirmed_us: int


class BoardWriter:
    """Changes one generation's boards, always by compare-and-set on its position."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._apply = _step_script("apply")
        self._erase = _step_script("erase")
        self._reset = _step_script("reset")
        self._correct = _step_script("correct")
        self._confirm = Script("confirm")
        self._raise_floors = Script("raise_floors")

    async def meta(self, generation: Generation) -> Meta | None:
        """What the generation says of itself; None when it is gone. Raises RedisUnavailable."""
        fields = ("epoch", "sequence", "numbered_us", "confirmed_us", "floors", "built_us")
        found = await self._link.call(self._link.client.hmget(generation.meta, fields))
        if found[0] is None:
            return None
        epoch, sequence, numbered_us, confirmed_us, floors, built_us = map(str, found)
        return Meta(
            Position(epoch, int(sequence)),
            int(numbered_us),
            int(confirmed_us),
            Floors.decode(floors),
            int(built_us),
        )

    async def apply(
        self, generation: Generation, expected: Meta, step: Step, advance: Advance
    ) -> Meta:
        """Does the step and moves on, all or nothing; the generation's new meta.

        Raises Moved, FloorsRaised, GenerationGone or Broken with nothing changed, and
        RedisUnavailable when it may or may not have happened.
        """
        script, arguments = self._operation(step)
        answer = await self._link.run(
            script,
            [generation.meta, generation.profiles],
            [
                generation.board_prefix,
                generation.hidden_prefix,
                expected.position.epoch,
                expected.position.sequence,
                expected.floors.encode(),
                advance.position.epoch,
                advance.position.sequence,
                advance.numbered_us,
                advance.confirmed_us,
                *arguments,
            ],
        )
        _check(answer)
        return replace(
            expected,
            position=advance.position,
            numbered_us=advance.numbered_us,
            confirmed_us=advance.confirmed_us,
            fields=int(answer[1]),
        )

    def _operation(self, step: Step) -> tuple[Script, tuple[str | int, ...]]:
        match step:
            case Fold():
                return self._apply, (_payload(step),)
            case Erasure(user_id):
                return self._erase, (user_id,)
            case Reset(board):
                return self._reset, (board,)
            case Correction(board, user_id, score):
                return self._correct, (board, user_id, score)

    async def confirm(
        self, generation: Generation, expected: Meta, epoch: str, confirmed_us: int
    ) -> Meta:
        """Notes that the position is still the newest, in the tenure `epoch`; the new meta.

        Raises as `apply`.
        """
        answer = await self._link.run(
            self._confirm,
            [generation.meta],
            [expected.position.epoch, expected.position.sequence, epoch, confirmed_us],
        )
        _check(answer)
        position = Position(epoch, expected.position.sequence)
        return replace(expected, position=position, confirmed_us=confirmed_us)

    async def raise_floors(self, generation: Generation, wanted: Floors) -> int:
        """Drops the boards of periods before `wanted`; their number. Never lowers a floor."""
        meta = await self.meta(generation)
        if meta is None:
            return 0
        higher = meta.floors.raised_to(wanted)
        if higher == meta.floors:
            return 0
        answer = await self._link.run(
            self._raise_floors,
            [generation.meta],
            [generation.board_prefix, meta.floors.encode(), higher.encode()],
        )
        return int(answer[1]) if answer[0] == "raised" else 0

    async def board_counts(self, generation: Generation) -> dict[str, int]:
        """The number of members of every board, by name."""
        fields = await self._link.call(self._link.client.hgetall(generation.meta))
        start = len(keys.MEMBERS)
        return {
            str(name)[start:]: int(count)
            for name, count in fields.items()
            if str(name).startswith(keys.MEMBERS)
        }


def _step_script(name: str) -> Script:
    return Script(name, shares=("prelude", "step"))


def _payload(fold: Fold) -> str:
    """The fold as apply.lua reads it; users are named once and meant by number, from 1."""
    number: dict[str, int] = {}
    boards: list[list[Any]] = []
    for name, amounts in fold.boards.items():
        pairs: list[int] = []
        for user_id, amount in amounts.items():
            pairs.append(number.setdefault(user_id, len(number) + 1))
            pairs.append(amount)
        boards.append([name, pairs])
    profiles = [[user, keys.pack_profile(profile)] for user, profile in fold.profiles.items()]
    payload = {"users": list(number), "boards": boards, "profiles": profiles}
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


def _check(answer: list[str]) -> None:
    match answer[0]:
        case "applied":
            return
        case "gone":
            raise GenerationGone
        case "moved":
            raise Moved(Position(answer[1], int(answer[2])))
        case "floors":
            raise FloorsRaised(Floors.decode(answer[1]))
        case _:
            raise Broken(answer[1])
