"""One simulation: a world, a schedule that its seed decides, and what became of it."""

import gc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.unit.simulation.faults import Fault, Faults
from tests.unit.simulation.loop import Event, Stuck
from tests.unit.simulation.world import World

BURSTS = 5
FAULTS = 6
READS = 3
ACTIVE_S = 4.0
"""For how long things are done and go wrong."""
SETTLE_S = 90.0
"""Within what time all is well after that. A silent stream is noticed after 40 s."""
_COLLECT_EVERY = 50


@dataclass(frozen=True)
class Played:
    """What happened, and what was wrong."""

    seed: int
    parts: int
    events: list[Event]
    wrong: list[str]
    settled_s: float

    @property
    def log(self) -> list[str]:
        """Everything that happened, a line each."""
        return [f"{at:.6f} {who}: {what} {details}" for at, who, what, details in self.events]

    def __str__(self) -> str:
        first = f"seed {self.seed}, {self.parts} parts: {'; '.join(self.wrong)}"
        return "\n".join([first, *self.log])


def play(seed: int, only: Sequence[str] = ()) -> Played:
    """Runs the simulation of that seed, with all faults or `only` some; to be called within
    `planted`.
    """
    parts = 3 if seed % 2 else 1
    world = World(seed, parts)
    faults = Faults(world)
    began = world.loop.time()
    _schedule(world, faults, faults.named(only) if only else faults.all)
    loop = world.loop
    settled_at = began + ACTIVE_S
    try:
        loop.run_until(lambda: bool(loop.errors), settled_at)
        if not loop.errors:
            _settle(world, faults)
            if not loop.run_until(
                lambda: bool(loop.errors) or world.is_well, settled_at + SETTLE_S
            ):
                loop.errors.append(f"not well {SETTLE_S:g} s after all faults")
    except Stuck as stuck:
        loop.errors.append(stuck)
    settled_s = loop.time() - settled_at
    wrong = [str(error) or repr(error) for error in loop.errors]
    events = loop.log[:]
    loop.errors.clear()
    world.end()
    return Played(seed, parts, events, wrong, settled_s)


def first_wrong(seeds: Iterable[int], only: Sequence[str] = ()) -> Played | None:
    """Of the simulations of these seeds the first in which something was wrong."""
    was_enabled = gc.isenabled()
    gc.disable()  # It would look at everything that lives in this process, time and again.
    try:
        for count, seed in enumerate(seeds):
            played = play(seed, only)
            if played.wrong:
                return played
            if count % _COLLECT_EVERY == 0:
                gc.collect(1)
    finally:
        if was_enabled:
            gc.enable()
    return None


def _schedule(world: World, faults: Faults, drawn: Sequence[Fault]) -> None:
    random = world.random
    for _ in range(4):
        world.write()
    for process in world.processes.values():
        world.later(random.random() * 0.1, process.start)
    # Much at once, so that one thing comes in the middle of another.
    hot_s = [random.random() * (ACTIVE_S - 1) for _ in range(2)]

    def some_time() -> float:
        return random.choice(hot_s) + random.random() ** 3 if random.random() < 0.6 else cold_time()

    def cold_time() -> float:
        return random.random() * ACTIVE_S

    for _ in range(BURSTS):
        at = some_time()
        for _ in range(random.randint(1, 4)):
            world.later(at + random.random() ** 4 * 0.1, world.write)
    for _ in range(3):
        world.later(some_time(), world.writer.commit)
        world.later(cold_time(), faults.take_copies)
    for _ in range(READS):
        world.later(some_time(), partial(world.read, 2))
    for _ in range(random.randint(1, FAULTS)):
        world.later(some_time(), partial(_strike, world, random.choice(drawn)))


def _strike(world: World, fault: Fault) -> None:
    world.loop.note("fault", fault.__name__)
    fault()
    world.oracle.after_accident()


def _settle(world: World, faults: Faults) -> None:
    """Ends all faults; a last change is written, and boards go on being read."""
    world.loop.note("all", "faults end")
    faults.heal()
    world.write()
    world.writer.commit()

    def read_all(again_s: float) -> None:
        # Damage that nobody meets is found by whoever reads it.
        if not world.is_whole:
            world.read(100)
        world.later(again_s, partial(read_all, 1.5 * again_s))

    world.later(0.3, partial(read_all, 1.0))
