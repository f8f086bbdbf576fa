"""Everything there is, and how it comes to be well again."""

import asyncio
from functools import partial
from random import Random
from typing import Any

from leaderboard_service.domain.board import Floors
from tests.unit.simulation.history import HistoryDatabase
from tests.unit.simulation.loop import new_loop
from tests.unit.simulation.network import NOBODY, Network
from tests.unit.simulation.oracle import Oracle, kept
from tests.unit.simulation.process import Process
from tests.unit.simulation.progress import SimulatedProgress
from tests.unit.simulation.redis import Hash, SimulatedRedis, Sorted
from tests.unit.simulation.writer import Writer

NAMES = ("p1", "p2")
FLOORS = (
    Floors("2024", "2025-10", "2026-W38", "2026-10-17"),
    Floors("2024", "2025-10", "2026-W38", "2026-11-14"),
)


class World:
    """Two processes of LeaderboardService, ProgressService, Redis, and those who write."""

    def __init__(self, seed: int, parts: int) -> None:
        self.loop = new_loop(f"{seed} order")
        self.random = Random(f"{seed} plan")
        self.parts = parts
        self.database = HistoryDatabase(self.loop.time)
        self.redis = SimulatedRedis(self.loop.time)
        self.oracle = Oracle(self.loop, self.redis, self.database)
        self.network = Network(self.loop, self.redis, self.oracle.after_write)
        self.progress = SimulatedProgress(self.loop, self.database)
        self.writer = Writer(self.database, self.random)
        self.floors = FLOORS[0]
        self.sequencer = "s1"
        self._gone: list[asyncio.Task[Any]] = []
        self.processes = {name: self._new_process(name) for name in NAMES}

    def _new_process(self, name: str) -> Process:
        return Process(name, self.network, self.progress, self.parts, lambda: self.floors)

    def write(self) -> None:
        """One change, which will be numbered."""
        self.loop.note("writer", self.writer.write())
        self.number_soon()

    def erase(self) -> None:
        """Someone is to go."""
        self.loop.note("writer", f"erased {self.writer.erase()}")
        self.number_soon()

    def number_soon(self) -> None:
        """Has the sequencer look."""
        self.later(self.random.random() ** 3 * 0.3, self.number)

    def number(self) -> None:
        """The sequencer numbers what is committed, and perhaps tells of it."""
        if self.progress.down:
            return
        count = self.database.number(self.sequencer, self.random.randint(1, 6))
        at = (self.database.epoch, self.database.head, len(self.database.queue))
        self.loop.note(self.sequencer, "numbered", at)
        if self.database.queue:
            self.number_soon()
        if count and self.random.random() < 0.95:
            self.later(self.random.random() * 0.01, self.progress.publisher.wake)

    def later(self, delay_s: float, do: Any) -> None:
        """Has something done outside of all processes."""
        self.loop.call_later(delay_s, do, context=NOBODY)

    def boards(self) -> list[str]:
        """Every board that anyone was ever on, and one besides."""
        return sorted({"xp//all_time/", *self.database.lineage.states[-1].scores})

    def read(self, most: int) -> None:
        """One of the processes is asked for some boards."""
        boards = self.boards()
        asked = self.random.sample(boards, min(most, len(boards)))
        name = self.random.choice(NAMES)
        self.processes[name].read(asked, self.oracle.check_answer)

    def kill(self, name: str) -> None:
        """The process is gone; another starts in its place."""
        self._gone += self.processes[name].kill()
        self.processes[name] = self._new_process(name)

    @property
    def is_well(self) -> bool:
        """Whether everything is numbered, both processes say that they are at the head, and the
        boards are whole there.
        """
        if self.database.queue:
            return False
        for process in self.processes.values():
            at_head = process.status.applied_sequence == self.database.head
            current = process.generations.current
            if not process.is_live or not at_head or current is None:
                return False
            if current.id != self.redis.space.get("laurel:generation"):
                return False
        return self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether the boards are those of the head."""
        if "laurel:generation" not in self.redis.space:
            return False
        head = (self.database.epoch, self.database.head)
        return all(self._is_whole(number, head) for number in range(self.parts))

    def _is_whole(self, number: int, head: tuple[str, int]) -> bool:
        space, generation = self.redis.space, self.redis.space["laurel:generation"]
        prefix = f"laurel:{{{number}}}:{generation}:"
        meta = space.get(prefix + "meta")
        if not isinstance(meta, Hash) or (meta["epoch"], int(meta["sequence"])) != head:
            return False
        due = self.database.lineage.states[-1].part(number, self.parts)
        floors = meta["floors"]
        boards = {b: s for b, s in due.boards.items() if kept(floors, b)}
        found = {
            key.removeprefix(prefix + "board:"): dict(value)
            for key, value in space.items()
            if key.startswith(prefix + "board:") and isinstance(value, Sorted)
        }
        return found == boards and space.get(prefix + "profiles", Hash()) == due.profiles

    def end(self) -> None:
        """Lets go of everything."""
        for process in self.processes.values():
            self._gone += process.kill()
        self.progress.break_off()
        self.loop.steps = 0
        self.later(0, lambda: None)
        self.loop.run_until(partial(_all_done, self._gone))


def _all_done(tasks: list[asyncio.Task[Any]]) -> bool:
    return all(task.done() for task in tasks)
