"""What must hold after every step, whatever has happened."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from leaderboard_service.domain.answer import Source, TopAnswer
from tests.unit.simulation.history import HistoryDatabase, Lineage, Share, microseconds
from tests.unit.simulation.loop import VirtualLoop
from tests.unit.simulation.network import Command
from tests.unit.simulation.redis import Hash, SimulatedRedis, Sorted, size

_POINTER = "laurel:generation"


@dataclass(frozen=True)
class _Part:
    """A part of a generation, by the names of its keys."""

    prefix: str
    number: int
    parts: int


@lru_cache(maxsize=1000)
def _part_of(key: str) -> _Part | None:
    """The part that a key belongs to."""
    if not key.startswith("laurel:{"):
        return None
    tag, generation, _ = key.removeprefix("laurel:").split(":", 2)
    _, _, parts = generation.partition("p")
    return _Part(f"laurel:{tag}:{generation}:", int(tag.strip("{}")), int(parts or 1))


@dataclass
class Oracle:
    """Compares what Redis holds with the history that its position is of; adds to the loop's
    errors.
    """

    loop: VirtualLoop
    redis: SimulatedRedis
    database: HistoryDatabase
    _last: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The position of each part when it was looked at last, by the prefix of its keys."""

    def wrong(self, what: str) -> None:
        """Something does not hold."""
        self.loop.note("oracle", "WRONG", what)
        self.loop.errors.append(what)

    def after_write(self, command: Command, answer: Any) -> None:
        """Redis has done something that it was asked to."""
        self.loop.note("redis", command.name, (command.key, command.args, "->", answer))
        part = _part_of(command.key)
        if part is not None:
            self._check(part, leaps=False)

    def after_accident(self) -> None:
        """Redis may hold anything that it held before."""
        self._last = {}
        for key in list(self.redis.space):
            if key.endswith(":meta") and (part := _part_of(key)):
                self._check(part, leaps=True)

    def check_answer(self, answer: TopAnswer, board: str) -> None:
        """A board as it was shown."""
        position = answer.stamp.position
        lineage = self._lineage(position.epoch, position.sequence)
        if answer.stamp.source is not Source.REDIS or lineage is None:
            return
        due = lineage.states[position.sequence].part(0, 1).boards.get(board, {})
        erased = _erased_after(lineage, position.sequence)
        shown = {e.user_id: -e.score for e in answer.page.entries if e.user_id not in erased}
        due = {user: score for user, score in due.items() if user not in erased}
        if shown != due or (not erased and answer.total != len(due)):
            self.wrong(f"{board} at {position} was shown as {shown}, and is {due}")

    def _lineage(self, epoch: str, sequence: int) -> Lineage | None:
        lineage = self.database.lineages.get(epoch)
        if lineage is None or not 0 <= sequence < len(lineage.states):
            self.wrong(f"there is no position {epoch}:{sequence}")
            return None
        return lineage

    def _check(self, part: _Part, *, leaps: bool) -> None:
        meta = self.redis.space.get(part.prefix + "meta")
        if not isinstance(meta, Hash):
            self._last.pop(part.prefix, None)
            return
        epoch, sequence = meta["epoch"], int(meta["sequence"])
        lineage = self._lineage(epoch, sequence)
        if lineage is None:
            return
        last = self._last.get(part.prefix)
        if last is not None and last != (epoch, sequence) and not leaps:
            self._check_moved(part, last, (epoch, sequence))
        self._last[part.prefix] = (epoch, sequence)
        self._check_confirmed(part, meta)
        self._check_contents(part, meta, lineage)

    def _check_moved(self, part: _Part, last: tuple[str, int], now: tuple[str, int]) -> None:
        """A position goes on within its own history, and never back."""
        before = self.database.lineages[last[0]].states
        after = self.database.lineages[now[0]].states
        if now[1] < last[1]:
            self.wrong(f"{part} went back from {last} to {now}")
        elif before[last[1]] is not after[last[1]]:
            self.wrong(f"{part} went from {last} to {now}, which is of another history")

    def _check_confirmed(self, part: _Part, meta: Hash) -> None:
        """It was the newest position when it is said to have been, if that was in the database of
        today.
        """
        database, sequence = self.database, int(meta["sequence"])
        confirmed_us, times = int(meta["confirmed_us"]), database.lineage.times
        if confirmed_us < microseconds(database.restored_at):
            return
        if database.knows(meta["epoch"], sequence) and sequence + 1 < len(times):
            next_us = microseconds(times[sequence + 1])
            if confirmed_us > next_us:
                self.wrong(f"{part} was not the newest when it was confirmed: {dict(meta)}")

    def _check_contents(self, part: _Part, meta: Hash, lineage: Lineage) -> None:
        """What a reader accepts equals the fold of the history."""
        space, prefix = self.redis.space, part.prefix
        sequence = int(meta["sequence"])
        profiles = space.get(prefix + "profiles", Hash())
        if len(profiles) != int(meta["profiles"]):
            return
        due = lineage.states[sequence].part(part.number, part.parts)
        found = Share(
            {b: dict(space.get(f"{prefix}board:{b}", Sorted())) for b in _counted(meta, "n:")},  # type: ignore[arg-type]
            {u: dict(space.get(f"{prefix}hidden:{u}", Hash())) for u in _counted(meta, "h:")},  # type: ignore[arg-type]
            dict(profiles),  # type: ignore[arg-type]
        )
        if found == due:
            return
        erased = _erased_after(lineage, sequence)
        if erased:
            due, found = due.without(erased), found.without(erased)
        if found.profiles != due.profiles:
            self.wrong(f"{part} at {sequence}: profiles {found.profiles}, not {due.profiles}")
        for board in found.boards.keys() | due.boards.keys():
            if self._is_accepted(part, meta, board, due) and found.boards.get(
                board, {}
            ) != due.boards.get(board, {}):
                self.wrong(
                    f"{part} at {sequence}: {board} is {found.boards.get(board)},"
                    f" not {due.boards.get(board)}"
                )
        self._check_hidden(part, meta, found, due)

    def _is_accepted(self, part: _Part, meta: Hash, board: str, due: Share) -> bool:
        count = size(self.redis.space, f"{part.prefix}board:{board}", Sorted)
        return count == int(meta.get(f"n:{board}", 0)) and kept(meta["floors"], board)

    def _check_hidden(self, part: _Part, meta: Hash, found: Share, due: Share) -> None:
        for user in found.hidden.keys() | due.hidden.keys():
            count = size(self.redis.space, f"{part.prefix}hidden:{user}", Hash)
            if count != int(meta.get(f"h:{user}", 0)):
                continue
            for board, score in _differing(found.hidden.get(user, {}), due.hidden.get(user, {})):
                if kept(meta["floors"], board):
                    self.wrong(f"{part}: hidden {user} on {board}: {score}")


def _counted(meta: Hash, mark: str) -> list[str]:
    return [name[2:] for name in meta if name.startswith(mark)]


def _differing(found: dict[str, str], due: dict[str, str]) -> list[tuple[str, object]]:
    boards = sorted(found.keys() | due.keys())
    pairs = [(board, (found.get(board), due.get(board))) for board in boards]
    return [(board, pair) for board, pair in pairs if pair[0] != pair[1]]


def _erased_after(lineage: Lineage, sequence: int) -> set[str]:
    """Users whose changes up to there are redactions by now: their scores may be there or not."""
    return {user for user, at in lineage.erased.items() if at > sequence}


def kept(floors: str, board: str) -> bool:
    """Whether boards of that period are kept."""
    _, _, window, period = board.split("/")
    named = dict(zip(("year", "month", "week", "day"), floors.split(" "), strict=True))
    return period >= named.get(window, "")
