"""Where a learner stands in a course, by which version, and what an edit of it changes.

References: Canvas judges stored module progressions anew when they are older than the module;
Open edX takes no completion back when a course is edited.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from progress_service.domain.course import Course
from progress_service.domain.submission import CourseState

PassRatios = Mapping[str, float]
"""Per level of one version the share of right answers that passes it."""


class LevelStatus(IntEnum):
    """The contract's numbers."""

    LOCKED = 1
    AVAILABLE = 2
    IN_PROGRESS = 3
    COMPLETED = 4


class Tried(NamedTuple):
    """What a learner's attempts at a level have come to; `best_ratio`: of right answers."""

    best_marks: int
    best_ratio: float
    completed: bool


def reached(versions: Iterable[PassRatios], open_: Mapping[str, float]) -> dict[str, float]:
    """The levels that these versions complete, one after the other in their order, each with the
    pass_ratio that did it.

    `open_`: of each level that was tried and is not completed, the best ratio. Every version
    since the last evaluation counts, whenever that is made up for: what one of them completes
    stays so.
    """
    found: dict[str, float] = {}
    left = dict(open_)
    for pass_ratios in versions:
        for level_id in [one for one in left if one in pass_ratios]:
            # As scoring.is_pass: the best attempt passes if any does.
            if left[level_id] >= pass_ratios[level_id]:
                found[level_id] = pass_ratios[level_id]
                del left[level_id]
    return found


def course_sums(
    course: Course, tried: Mapping[str, Tried], completed: Collection[str] = ()
) -> CourseState:
    """Completed levels and marks over the levels that the course's version has; `completed`
    names further ones.
    """
    known = [(one, level) for one, level in tried.items() if one in course.levels]
    return CourseState(
        levels_completed=sum(level.completed or one in completed for one, level in known),
        marks=sum(level.best_marks for _, level in known),
    )


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

    Compares the levels that both versions have; completion over all of each.
    """

    def __init__(self, before: Course, after: Course) -> None:
        self._before, self._after = before, after
        self._changed = {
            one
            for one in after.levels
            if one in before.levels
            and set(before.requirements[one]) != set(after.requirements[one])
        }

    def effect(self, completed: frozenset[str], reached_now: Collection[str]) -> EditEffect:
        """For a learner who has completed these levels by the version before, and reaches the
        others by the one after.

        Only a level that waits for other levels than before, is reached, or waits for one that
        is reached can be locked or open anew, so a learner costs those and the completed ones.
        """
        done = completed.union(reached_now)
        touched = self._changed.difference(completed)
        for one in reached_now:
            touched.update((one, *self._after.dependents.get(one, ())))
        locks = [
            (_is_locked(self._before, one, completed), _is_locked(self._after, one, done))
            for one in touched
            if one in self._before.levels and one in self._after.levels
        ]
        ratios = [
            completion_ratio(len(course.levels.keys() & levels), len(course.levels))
            for course, levels in ((self._before, completed), (self._after, done))
        ]
        return EditEffect(
            newly_locked=any(now and not then for then, now in locks),
            newly_unlocked=any(then and not now for then, now in locks),
            completion_changed=ratios[0] != ratios[1],
        )


def _is_locked(course: Course, level_id: str, completed: frozenset[str]) -> bool:
    return level_id not in completed and not completed.issuperset(course.requirements[level_id])
