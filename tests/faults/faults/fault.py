"""What every fault is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from tests.faults.stack import Stack


class Fault:
    """Something that is done to the stack, once. What is left open about it is for `chance` to
    decide; `target` says what was decided, once it has begun. `effect`: what there was to see of it
    by the time that it was healed; "": nothing.
    """

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.target = ""
        self.effect = ""

    async def prepare(self, stack: Stack) -> None:
        """Some time before it begins."""

    async def begin(self, stack: Stack) -> None:
        """From now on it holds."""
        raise NotImplementedError

    async def heal(self, stack: Stack) -> None:
        """It holds no more. Also called when `begin` has failed."""


@dataclass(frozen=True)
class Kind:
    """A fault that can be planned.

    `concerns`: the parts of the stack that another one at the same time must leave alone.
    `replicas` and `settings`: what the stack must have, see Plan. `is_possible`: whether this
    machine permits it.
    """

    name: str
    concerns: frozenset[str]
    make: Callable[[Random], Fault]
    replicas: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    is_possible: Callable[[], bool] = lambda: True
