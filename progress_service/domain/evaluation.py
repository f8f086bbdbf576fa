"""Where a learner stands in a course, from what is completed; and what an edit changes."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from progress_service.domain.course import Course


class LevelStatus(IntEnum):
    """The contract's numbers."""

    LOCKED = 1
    AVAILABLE = 2
    IN_PROGRESS = 3
    COMPLETED = 4


def level_status(
    course: Course, level_id: str, completed: Collection[str], attempted: Collection[str]
) -> LevelStatus:
    """The status of one level; a completed one is never locked."""
    if level_id in completed:
        return LevelStatus.COMPLETED
    if course.missing(level_id, completed):
        return LevelStatus.LOCKED
    return LevelStatus.IN_PROGRESS if level_id in attempted else LevelStatus.AVAILABLE


def section_status(statuses: Collection[LevelStatus]) -> LevelStatus:
    """A section's status from its levels': LOCKED while all are, COMPLETED when all are."""
    kinds = set(statuses)
    if kinds == {LevelStatus.COMPLETED}:
        return LevelStatus.COMPLETED
    if kinds == {LevelStatus.LOCKED}:
        return LevelStatus.LOCKED
    if kinds <= {LevelStatus.LOCKED, LevelStatus.AVAILABLE}:
        return LevelStatus.AVAILABLE
    return LevelStatus.IN_PROGRESS


def completion_ratio(levels_completed: int, levels_total: int) -> float:
    """0 to 1."""
    return levels_completed / levels_total if levels_total else 0.0


@dataclass(frozen=True, slots=True)
class EditEffect:
    """What replacing a course's definition changes for one learner."""

    newly_locked: bool
    newly_unlocked: bool
    completion_changed: bool


class EditComparison:
    """What replacing one version by another changes for learners.

    Compares the levels that both versions have; completion over all of each. Only a level
    that waits for other levels than before can be newly locked or open, so a learner costs
    those levels and the completed ones.
    """

    def __init__(self, before: Course, after: Course) -> None:
        self._before, self._after = before, after
        self._changed = [
            one
            for one in after.levels
            if one in before.levels
            and set(before.requirements[one]) != set(after.requirements[one])
        ]

    def effect(self, completed: Collection[str]) -> EditEffect:
        """For a learner who has completed these levels."""
        open_ones = [one for one in self._changed if one not in completed]
        before = [bool(self._before.missing(one, completed)) for one in open_ones]
        after = [bool(self._after.missing(one, completed)) for one in open_ones]
        ratios = [
            completion_ratio(sum(one in course.levels for one in completed), len(course.levels))
            for course in (self._before, self._after)
        ]
        return EditEffect(
            newly_locked=any(now > then for then, now in zip(before, after, strict=True)),
            newly_unlocked=any(then > now for then, now in zip(before, after, strict=True)),
            completion_changed=ratios[0] != ratios[1],
        )
