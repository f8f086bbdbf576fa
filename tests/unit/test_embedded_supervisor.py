"""When a unit that has ended is started again."""

from pathlib import Path

from shared.embedded.errors import EmbeddedError
from shared.embedded.logfile import LogFile
from shared.embedded.supervisor import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    STEADY_S,
    Supervised,
)


class Unit:
    """A unit without a process, which the test ends."""

    name = "unit"
    log = LogFile(Path("unit.log"))

    def __init__(self) -> None:
        self.running = True
        self.exit_code: int | None = None
        self.starts = 0
        self.fails = False

    def start(self) -> None:
        if self.fails:
            raise EmbeddedError("does not come up")
        self.starts += 1
        self.running, self.exit_code = True, None

    def stop(self) -> None:
        self.end(0)

    def kill(self) -> None:
        self.end(-9)

    def end(self, exit_code: int) -> None:
        self.running, self.exit_code = False, exit_code


def pause_before_restart(supervised: Supervised, unit: Unit, now: float) -> float:
    """The seconds until the unit is started again, to a hundredth."""
    starts, waited = unit.starts, 0.0
    while unit.starts == starts:
        supervised.check(now + waited)
        waited += 0.01
    return waited


def test_a_unit_that_ends_is_started_again_after_a_pause_and_said_so() -> None:
    said: list[str] = []
    unit = Unit()
    supervised = Supervised(unit, said.append)
    supervised.check(0.0)
    unit.end(-9)

    supervised.check(1.0)
    assert unit.starts == 0
    supervised.check(1.0 + FIRST_PAUSE_S * 1.2)
    assert unit.starts == 1
    assert "was ended by signal 9" in said[0]


def test_pauses_grow_to_a_bound_and_shrink_after_a_steady_run() -> None:
    unit = Unit()
    supervised = Supervised(unit, lambda _: None)
    now, pauses = 0.0, []
    for _ in range(12):
        unit.end(1)
        pauses.append(pause_before_restart(supervised, unit, now))
        now += pauses[-1]
        supervised.check(now)

    assert pauses[0] < pauses[4] < pauses[-1] <= LONGEST_PAUSE_S * 1.2 + 0.02
    supervised.check(now + STEADY_S + 1)
    unit.end(1)
    assert pause_before_restart(supervised, unit, now + STEADY_S + 1) < 2 * FIRST_PAUSE_S


def test_a_unit_that_cannot_be_started_is_tried_again() -> None:
    said: list[str] = []
    unit = Unit()
    supervised = Supervised(unit, said.append)
    unit.end(1)
    unit.fails = True
    supervised.check(0.0)
    supervised.check(1.0)
    assert "does not come up" in said[-1]

    unit.fails = False
    supervised.check(10.0)
    assert unit.running


def test_a_unit_that_has_done_its_work_is_left_alone() -> None:
    unit = Unit()
    supervised = Supervised(unit, lambda _: None, finishes=True)
    unit.end(0)
    for second in range(100):
        supervised.check(float(second))

    assert unit.starts == 0
