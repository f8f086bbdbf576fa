"""What PostgreSQL held: its lives, which positions are points of which, and what became of a call.

A database that is restored begins a life of its own: the history up to the copy is its parent's,
and goes on differently. The epochs tell the lives apart: a position is a point of a life when the
life knows its tenure and that one did not end before it, so one of the common part is a point of
both, and means the same in both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.faults.recording import Attempt, Branch, Entry

Change = Any
"""A progress.v1 Change."""


@dataclass
class Life:
    """A branch with what is looked up in it. `changes` ends where the numbering is not dense."""

    number: int
    branch: Branch
    parent: "Life | None" = None
    changes: list[Change] = field(init=False)

    def __post_init__(self) -> None:
        numbered = enumerate(self.branch.changes, 1)
        wrong = (number for number, change in numbered if change.sequence != number)
        self.changes = self.branch.changes[: next(wrong, len(self.branch.changes) + 1) - 1]

    @property
    def begun(self) -> float:
        return self.branch.begun

    @property
    def ended(self) -> float:
        return self.branch.ended or math.inf

    @property
    def copied(self) -> float:
        """When the copy was begun from which it was restored; nothing is lost of the first life."""
        return math.inf if self.branch.copied is None else self.branch.copied

    @property
    def dense(self) -> bool:
        return len(self.changes) == len(self.branch.changes)

    @cached_property
    def last_of(self) -> dict[str, int]:
        """The last sequence that each tenure numbered."""
        tenures = self.branch.tenures
        ends = [one.after_sequence for one in tenures[1:]] + [len(self.branch.changes)]
        return {one.epoch: end for one, end in zip(tenures, ends, strict=True)}

    @cached_property
    def entries(self) -> dict[int, Entry]:
        return {entry.entry_id: entry for entry in self.branch.entries}

    @cached_property
    def attempts(self) -> dict[int, Attempt]:
        return {attempt.attempt_id: attempt for attempt in self.branch.attempts}

    @cached_property
    def sequence_of(self) -> dict[int, int]:
        """Of each ledger entry, where it was numbered first."""
        found: dict[int, int] = {}
        for change in self.changes:
            if change.HasField("xp_delta"):
                found.setdefault(int(change.xp_delta.entry_id), change.sequence)
        return found

    @cached_property
    def erased_at(self) -> dict[str, list[int]]:
        """The erasures of each user."""
        found: dict[str, list[int]] = {}
        for change in self.changes:
            if change.HasField("user_erasure"):
                found.setdefault(change.user_erasure.user_id, []).append(change.sequence)
        return found

    def holds(self, position: Any) -> bool:
        """Whether it is a point of this history."""
        if not position.epoch:
            return not position.sequence
        return bool(0 <= position.sequence <= self.last_of.get(position.epoch, -1))

    def must_have(self, begun: float, ended: float) -> bool:
        """Whether what was acknowledged in a call between these times is in it for sure."""
        if begun >= self.begun:
            return ended <= self.ended
        return (
            self.parent is not None and ended < self.copied and self.parent.must_have(begun, ended)
        )

    def may_have(self, begun: float, ended: float) -> bool:
        """Whether what a call between these times did can be in it."""
        if begun <= self.ended and ended >= self.begun:
            return True
        return self.parent is not None and self.parent.may_have(begun, ended)

    def overlaps(self, begun: float, ended: float) -> bool:
        """Whether it was the present one at some moment between these times."""
        return begun <= self.ended and ended >= self.begun


class Timeline:
    """All lives of a run, oldest first."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.lives: list[Life] = []
        for number, branch in enumerate(branches):
            life = Life(number, branch)
            before = [one for one in self.lives if one.begun <= life.copied]
            life.parent = before[-1] if before and branch.copied is not None else None
            self.lives.append(life)

    @property
    def last(self) -> Life:
        return self.lives[-1]

    def holding(self, position: Any) -> list[Life]:
        """The lives of which it is a point."""
        return [life for life in self.lives if life.holds(position)]

    def present(self, begun: float, ended: float) -> list[Life]:
        """Those that PostgreSQL was in at some moment between these times."""
        return [life for life in self.lives if life.overlaps(begun, ended)]

    def forks(self) -> list[tuple[Life, Life, int]]:
        """Two lives and the last sequence at which a position is a point of both."""
        return [
            (
                one,
                other,
                max(
                    (
                        min(last, other.last_of[epoch])
                        for epoch, last in one.last_of.items()
                        if epoch in other.last_of
                    ),
                    default=0,
                ),
            )
            for number, one in enumerate(self.lives)
            for other in self.lives[number + 1 :]
        ]
