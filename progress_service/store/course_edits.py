"""Replacing a course's definition, and whom that touches."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.course import Course, definition_violations
from progress_service.domain.evaluation import EditEffect, edit_effect
from progress_service.store import courses, metric_catalog, progress_read
from shared.errors import FieldViolation, invalid_fields


@dataclass(frozen=True, slots=True)
class CourseEdit:
    """The stored course, and how many learners the edit touches and how."""

    course: Course
    users_affected: int = 0
    users_newly_locked: int = 0
    users_newly_unlocked: int = 0
    users_completion_changed: int = 0


async def put_course(connection: AsyncConnection, course: Course) -> CourseEdit:
    """Validates and stores a definition as the next version, in the caller's transaction.

    Raises InvalidInput (INVALID_FIELD) with every violation, Conflict (LEVEL_ID_TAKEN).
    """
    violations = [*definition_violations(course), *await _unknown_metrics(connection, course)]
    if violations:
        raise invalid_fields(violations)
    stored, before = await courses.put(connection, course)
    if before is None:
        return CourseEdit(stored)
    completed = await progress_read.load_completed(connection, course.course_id)
    effects: dict[frozenset[str], EditEffect] = {}
    for levels in completed.values():
        if levels not in effects:
            effects[levels] = edit_effect(before, stored, levels)
    touched = [effects[levels] for levels in completed.values()]
    return CourseEdit(
        stored,
        users_affected=len(touched),
        users_newly_locked=sum(effect.newly_locked for effect in touched),
        users_newly_unlocked=sum(effect.newly_unlocked for effect in touched),
        users_completion_changed=sum(effect.completion_changed for effect in touched),
    )


async def _unknown_metrics(connection: AsyncConnection, course: Course) -> list[FieldViolation]:
    known = {metric.metric for metric in await metric_catalog.load_all(connection)}
    return [
        FieldViolation(
            f"course.sections[{s}].levels[{n}].rewards[{r}].metric",
            f"{reward.metric} is not a metric of the catalog",
        )
        for s, section in enumerate(course.sections)
        for n, level in enumerate(section.levels)
        for r, reward in enumerate(level.rewards)
        if reward.metric not in known
    ]
