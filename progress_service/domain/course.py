"""A course: its definition, and which level waits for which.

Models: Open edX (course → section → unit, gating by prerequisites), Canvas (sequential
modules). A course is declared whole and replaced whole; each replacement is a version.
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from progress_service.domain import bounds
from shared.errors import FieldViolation

_MAX_SUM = 2**63 - 1
"""What the contract's int64 holds."""


_MOST_NAMED = 20
"""Levels of a cycle that an error names."""

_SEARCH_STEPS = 100_000
"""Requirements that are followed to find a short cycle."""


class UnlockMode(IntEnum):
    """What a level waits for; the contract's numbers."""

    SEQUENTIAL = 1
    PREREQUISITES = 2
    OPEN = 3


@dataclass(frozen=True, slots=True)
class Reward:
    """An amount of another metric, credited with the level's XP."""

    metric: str
    amount: int


@dataclass(frozen=True, slots=True)
class Level:
    """One thing to complete. `max_marks` 0: ungraded; `question_count` 0: any."""

    level_id: str
    title: str = ""
    xp_reward: int = 0
    max_marks: int = 0
    pass_ratio: float = 0.0
    prerequisites: tuple[str, ...] = ()
    question_count: int = 0
    min_time_spent_ms: int = 0
    rewards: tuple[Reward, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Levels under one heading."""

    section_id: str
    title: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Course:
    """One version of a course's definition."""

    course_id: str
    title: str
    unlock_mode: UnlockMode
    sections: tuple[Section, ...]
    archived: bool = False
    version: int = 0

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Every level by id, in the course's order."""
        return {level.level_id: level for s in self.sections for level in s.levels}

    @cached_property
    def pass_ratios(self) -> dict[str, float]:
        """Per level the share of right answers that passes it."""
        return {one: level.pass_ratio for one, level in self.levels.items()}

    @cached_property
    def max_marks(self) -> int:
        """The marks of all levels together."""
        return sum(level.max_marks for level in self.levels.values())

    @cached_property
    def requirements(self) -> dict[str, tuple[str, ...]]:
        """Per level the levels that must be completed before it."""
        ids = list(self.levels)
        match self.unlock_mode:
            case UnlockMode.SEQUENTIAL:
                before: list[tuple[str, ...]] = [(), *((one,) for one in ids[:-1])]
                return dict(zip(ids, before[: len(ids)], strict=True))
            case UnlockMode.PREREQUISITES:
                return {one: level.prerequisites for one, level in self.levels.items()}
            case UnlockMode.OPEN:
                return dict.fromkeys(ids, ())

    @cached_property
    def dependents(self) -> dict[str, tuple[str, ...]]:
        """Per level the levels that wait for it, in the course's order."""
        found: dict[str, list[str]] = {one: [] for one in self.levels}
        for one, required in self.requirements.items():
            for other in required:
                found[other].append(one)
        return {one: tuple(others) for one, others in found.items()}

    def missing(self, level_id: str, completed: Collection[str]) -> tuple[str, ...]:
        """The uncompleted requirements of a level: empty when it is unlocked."""
        return tuple(one for one in self.requirements[level_id] if one not in completed)

    def neighbours(self, level_id: str) -> frozenset[str]:
        """The levels whose completion decides whether `level_id` is open, and what it opens."""
        around = set(self.requirements[level_id])
        for dependent in self.dependents[level_id]:
            around.add(dependent)
            around.update(self.requirements[dependent])
        return frozenset(around - {level_id})

    def unlocked_by(self, level_id: str, completed: Collection[str]) -> tuple[str, ...]:
        """What completing `level_id` opens; `completed` holds its completed neighbours."""
        done = {*completed, level_id}
        return tuple(
            one
            for one in self.dependents[level_id]
            if one not in done and not self.missing(one, done)
        )


def definition_violations(course: Course) -> list[FieldViolation]:
    """What is wrong with a definition, each with the path of its field; empty: nothing."""
    return [*_course_violations(course), *_graph_violations(course)]


def _course_violations(course: Course) -> Iterator[FieldViolation]:
    if not bounds.is_id(course.course_id):
        yield FieldViolation("course.course_id", f"must be {bounds.ID_FORM}")
    yield from _title_violations("course.title", course.title)
    count = sum(len(section.levels) for section in course.sections)
    if not 1 <= count <= bounds.MAX_LEVELS:
        yield FieldViolation("course.sections", f"must hold 1 to {bounds.MAX_LEVELS} levels")
    if sum(level.max_marks for s in course.sections for level in s.levels) > _MAX_SUM:
        yield FieldViolation("course.sections", "max_marks must be at most 2^63 - 1 together")
    sections: set[str] = set()
    seen: set[str] = set()
    for s, section in enumerate(course.sections):
        path = f"course.sections[{s}]"
        yield from _id_violations(f"{path}.section_id", section.section_id, sections)
        yield from _title_violations(f"{path}.title", section.title)
        for n, level in enumerate(section.levels):
            at = f"{path}.levels[{n}]"
            yield from _id_violations(f"{at}.level_id", level.level_id, seen)
            yield from _level_violations(at, level)


def _id_violations(path: str, value: str, seen: set[str]) -> Iterator[FieldViolation]:
    if not bounds.is_id(value):
        yield FieldViolation(path, f"must be {bounds.ID_FORM}")
    elif value in seen:
        yield FieldViolation(path, f"{value} occurs twice")
    seen.add(value)


def _title_violations(path: str, value: str) -> Iterator[FieldViolation]:
    if not bounds.is_plain_text(value, bounds.MAX_TITLE_CHARS):
        yield FieldViolation(path, f"must be at most {bounds.MAX_TITLE_CHARS} printable characters")


def _level_violations(path: str, level: Level) -> Iterator[FieldViolation]:
    yield from _title_violations(f"{path}.title", level.title)
    if not 0 <= level.pass_ratio <= 1:
        yield FieldViolation(f"{path}.pass_ratio", "must be 0 to 1")
    if not 0 <= level.question_count <= bounds.MAX_QUESTIONS:
        yield FieldViolation(f"{path}.question_count", "must not be negative")
    max_ms = bounds.MAX_TIME_SPENT.total_seconds() * 1000
    if not 0 <= level.min_time_spent_ms <= max_ms:
        yield FieldViolation(f"{path}.min_time_spent", "must be 0 to 366 days")
    for name, amount in (("xp_reward", level.xp_reward), ("max_marks", level.max_marks)):
        if not 0 <= amount <= bounds.MAX_SCORE:
            yield FieldViolation(f"{path}.{name}", "must be 0 to 2^53 - 1")
    metrics: set[str] = {"xp", "marks"}
    for n, reward in enumerate(level.rewards):
        at = f"{path}.rewards[{n}]"
        if not bounds.is_id(reward.metric):
            yield FieldViolation(f"{at}.metric", f"must be {bounds.ID_FORM}")
        elif reward.metric in metrics:
            yield FieldViolation(
                f"{at}.metric", "must occur once, and not be xp or marks, which the level sets"
            )
        metrics.add(reward.metric)
        if not 1 <= reward.amount <= bounds.MAX_SCORE:
            yield FieldViolation(f"{at}.amount", "must be 1 to 2^53 - 1")


def _graph_violations(course: Course) -> Iterator[FieldViolation]:
    known = course.levels
    # First: of many violations an error names the first few.
    cycle = find_cycle({one: level.prerequisites for one, level in known.items()})
    if cycle:
        shown = cycle if len(cycle) <= _MOST_NAMED else (*cycle[:_MOST_NAMED], "…")
        yield FieldViolation("course.sections", "cycle: " + " -> ".join((*shown, cycle[0])))
    for s, section in enumerate(course.sections):
        for n, level in enumerate(section.levels):
            path = f"course.sections[{s}].levels[{n}].prerequisite_level_ids"
            for one in level.prerequisites:
                if not bounds.is_id(one):
                    yield FieldViolation(path, f"must hold level ids, {bounds.ID_FORM} each")
                elif one == level.level_id:
                    yield FieldViolation(path, f"{one} requires itself")
                elif one not in known:
                    yield FieldViolation(path, f"{one} is not a level of this course")
            if len(set(level.prerequisites)) != len(level.prerequisites):
                yield FieldViolation(path, "names a level twice")


def find_cycle(requirements: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Some cycle of two or more levels, each required by the one before; empty: none.

    A short one where a bounded search finds it: of many it says most. Linear in levels and
    requirements; unknown levels and self-loops are passed over.
    """
    graph = {
        one: [other for other in required if other != one and other in requirements]
        for one, required in requirements.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return _shortened(graph, tuple(reversed(error.args[1][1:])))
    return ()


def _shortened(graph: dict[str, list[str]], cycle: tuple[str, ...]) -> tuple[str, ...]:
    """The shortest cycle through a level of this one, as far as the search gets."""
    steps = 0
    for start in cycle:
        came_from: dict[str, str] = {}
        todo = deque([start])
        while todo and start not in came_from:
            one = todo.popleft()
            steps += len(graph[one])
            if steps > _SEARCH_STEPS:
                return cycle
            for other in graph[one]:
                if other not in came_from:
                    came_from[other] = one
                    todo.append(other)
        back = [came_from[start]]
        while back[-1] != start:
            back.append(came_from[back[-1]])
        if len(back) < len(cycle):
            cycle = tuple(reversed(back))
    return cycle
