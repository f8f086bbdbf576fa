"""Writing boards: steps along the history, confirmations, floors."""

import asyncio
from dataclasses import dataclass, field, replace

from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import Floors
from leaderboard_service.domain.fold import Step
from leaderboard_service.store import keys
from leaderboard_service.store.client import RedisLink, RedisRefused, Run, Script
from leaderboard_service.store.keys import Generation, Part
from leaderboard_service.store.pruning import HiddenPruner
from leaderboard_service.store.tasks import part_tasks


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
class PartMeta:
    """What a part of a generation says of itself; times as in `Stamp`."""

    position: Position
    numbered_us: int
    confirmed_us: int
    floors: Floors
    built_us: int = 0
    """When it was loaded."""
    fields: int = field(default=0, compare=False)
    """How many fields it has, and so about how many boards; 0 until a batch was applied."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What the parts of a generation say of themselves, in their order.

    They are at one position but for the moment in which a step is applied, and after a failover.
    """

    parts: tuple[PartMeta, ...]

    @property
    def last(self) -> PartMeta:
        """The part that is least far: what follows its position is not in all of them."""
        return min(self.parts, key=_sequence)

    @property
    def position(self) -> Position:
        """How far all parts are."""
        return self.last.position

    @property
    def positions(self) -> tuple[Position, ...]:
        """Where there are parts, the least far first."""
        found = {part.position for part in self.parts}
        return tuple(sorted(found, key=lambda position: (position.sequence, position.epoch)))

    @property
    def bound(self) -> int | None:
        """The position that the parts behind are to be brought to first; None when all are at
        one.
        """
        least = self.position.sequence
        ahead = [part.position.sequence for part in self.parts if part.position.sequence > least]
        return min(ahead, default=None)

    @property
    def floors(self) -> Floors:
        """The lowest of all parts: a part leaves out what it does not keep."""
        lowest = self.parts[0].floors
        for part in self.parts[1:]:
            lowest = lowest.lowered_to(part.floors)
        return lowest

    @property
    def fields(self) -> int:
        """The most that a part has."""
        return max(part.fields for part in self.parts)


def _sequence(part: PartMeta) -> int:
    return part.position.sequence


@dataclass(frozen=True, slots=True)
class Advance:
    """The position that a step leads to."""

    position: Position
    numbered_us: int
    confirmed_us: int


class BoardWriter:
    """Changes one generation's boards, always by compare-and-set on the position of each part."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._scripts = {
            name: _step_script(name) for name in ("apply", "erase", "reset", "correct")
        }
        self._confirm = Script("confirm")
        self._raise_floors = Script("raise_floors")
        self._pruner = HiddenPruner(link)

    async def meta(self, generation: Generation) -> Meta | None:
        """What the generation says of itself; None when it is gone, or a part of it.

        Raises RedisUnavailable.
        """
        found = await asyncio.gather(*(self._part_meta(part) for part in generation.parts))
        parts = [part for part in found if part is not None]
        return Meta(tuple(parts)) if len(parts) == len(found) else None

    async def _part_meta(self, part: Part) -> PartMeta | None:
        """None also for one that no release has written so: it is to be built anew."""
        fields = ("epoch", "sequence", "numbered_us", "confirmed_us", "floors", "built_us")
        client = self._link.client
        try:
            found = await self._link.call(client.hmget(part.meta, fields))
            epoch, sequence, numbered_us, confirmed_us, floors, built_us = found
            return PartMeta(
                Position(epoch, int(sequence)),
                int(numbered_us),
                int(confirmed_us),
                Floors.decode(floors),
                int(built_us or 0),
            )
        except RedisRefused:
            if await self._link.call(client.type(part.meta)) == "hash":
                raise
        except (AttributeError, TypeError, ValueError):
            pass
        return None

    async def apply(
        self, generation: Generation, expected: Meta, step: Step, advance: Advance
    ) -> Meta:
        """Does the step in every part that is behind `advance`, in each all or nothing; the new
        meta. The step begins where the least far part is, and leads no further than the next.

        Raises Moved, FloorsRaised, GenerationGone or Broken when a part is not as expected, which
        is then not changed, and RedisUnavailable when nothing is known. Other parts may have done
        the step: `meta` tells.
        """
        behind = [
            number
            for number, part in enumerate(expected.parts)
            if part.position.sequence < advance.position.sequence
        ]
        tasks = part_tasks(step, generation)
        runs = []
        for number in behind:
            part, known = generation.parts[number], expected.parts[number]
            task = tasks[number]
            arguments = _step_arguments(part, known, advance)
            runs.append(
                Run(
                    self._scripts[task.script],
                    [part.meta, part.profiles],
                    [*arguments, *task.arguments],
                )
            )
        answers = await self._link.run_all(runs)
        parts = list(expected.parts)
        for number, answer in zip(behind, answers, strict=True):
            check_answer(answer)
            parts[number] = replace(
                parts[number],
                position=advance.position,
                numbered_us=advance.numbered_us,
                confirmed_us=advance.confirmed_us,
                fields=int(answer[1]),
            )
        return Meta(tuple(parts))

    async def confirm(
        self, generation: Generation, expected: Meta, epoch: str, confirmed_us: int
    ) -> Meta:
        """Notes that the position, the same in all parts, is still the newest, in the tenure
        `epoch`; the new meta.

        Raises as `apply`.
        """
        runs = [
            Run(
                self._confirm,
                [part.meta],
                [known.position.epoch, known.position.sequence, epoch, confirmed_us],
            )
            for part, known in zip(generation.parts, expected.parts, strict=True)
        ]
        for answer in await self._link.run_all(runs):
            check_answer(answer)
        position = Position(epoch, expected.position.sequence)
        return Meta(
            tuple(
                replace(part, position=position, confirmed_us=confirmed_us)
                for part in expected.parts
            )
        )

    async def raise_floors(self, generation: Generation, wanted: Floors) -> int:
        """Drops the boards of periods before `wanted`; their number. Never lowers a floor."""
        meta = await self.meta(generation)
        dropped = 0
        for part, known in zip(generation.parts, meta.parts if meta else (), strict=False):
            higher = known.floors.raised_to(wanted)
            if higher == known.floors:
                continue
            answer = await self._link.run(
                self._raise_floors,
                [part.meta],
                [part.board_prefix, known.floors.encode(), higher.encode()],
            )
            if answer[0] == "raised":
                dropped = max(dropped, int(answer[1]))
        return dropped

    async def prune_hidden(self, generation: Generation) -> int:
        """Deletes what hidden users have on boards that are dropped; how many scores."""
        return await self._pruner.prune(generation)

    async def board_counts(self, generation: Generation) -> dict[str, int]:
        """The number of members of every board, by name."""
        counts: dict[str, int] = {}
        start = len(keys.MEMBERS)
        for part in generation.parts:
            fields = await self._link.call(self._link.client.hgetall(part.meta))
            for name, count in fields.items():
                if str(name).startswith(keys.MEMBERS):
                    board = str(name)[start:]
                    counts[board] = counts.get(board, 0) + int(count)
        return counts


def _step_script(name: str) -> Script:
    return Script(name, shares=("prelude", "step"))


def _step_arguments(part: Part, known: PartMeta, advance: Advance) -> tuple[str | int, ...]:
    """ARGV 1 to 9 of step.lua."""
    return (
        part.board_prefix,
        part.hidden_prefix,
        known.position.epoch,
        known.position.sequence,
        known.floors.encode(),
        advance.position.epoch,
        advance.position.sequence,
        advance.numbered_us,
        advance.confirmed_us,
    )


def check_answer(answer: list[str]) -> None:
    """Returns when a script of step.lua has done its work; raises what kept it from that."""
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
