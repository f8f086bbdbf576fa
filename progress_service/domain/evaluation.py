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


def edit_effect(before: Course, after: Course, completed: Collection[str]) -> EditEffect:
    """Compares the levels that both versions have; completion over all of each."""
    both = [one for one in after.levels if one in before.levels and one not in completed]
    locked_before = {one for one in both if before.missing(one, completed)}
    locked_after = {one for one in both if after.missing(one, completed)}
    ratios = [
        completion_ratio(sum(one in course.levels for one in completed), len(course.levels))
        for course in (before, after)
    ]
    return EditEffect(
        newly_locked=bool(locked_after - locked_before),
        newly_unlocked=bool(locked_before - locked_after),
        completion_changed=ratios[0] != ratios[1],
    )
