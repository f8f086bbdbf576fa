"""Courses: which level waits for which, and what is wrong with a definition."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.bounds import MAX_LEVELS, MAX_SCORE
from progress_service.domain.course import (
    Course,
    Level,
    Reward,
    Section,
    UnlockMode,
    definition_violations,
    find_cycle,
)


def course(
    *levels: Level, mode: UnlockMode = UnlockMode.PREREQUISITES, in_sections: int = 1
) -> Course:
    """A course whose levels lie in so many sections, in their order."""
    size = -(-len(levels) // in_sections) or 1
    sections = [levels[start : start + size] for start in range(0, len(levels), size)]
    return Course(
        "c", "C", mode, tuple(Section(f"s{n}", "", held) for n, held in enumerate(sections))
    )


def waiting(level_id: str, *required: str) -> Level:
    return Level(level_id, prerequisites=required)


@st.composite
def acyclic_courses(draw: st.DrawFn) -> Course:
    count = draw(st.integers(1, 8))
    ids = [f"l{n}" for n in range(count)]
    levels = []
    for n, one in enumerate(ids):
        required = draw(st.lists(st.sampled_from(ids[:n]), unique=True)) if n else []
        levels.append(waiting(one, *required))
    shuffled = draw(st.permutations(levels))
    return course(*shuffled, mode=draw(st.sampled_from(UnlockMode)), in_sections=2)


@st.composite
def courses_with_progress(draw: st.DrawFn) -> tuple[Course, frozenset[str], str]:
    one = draw(acyclic_courses())
    ids = list(one.levels)
    completed = draw(st.frozensets(st.sampled_from(ids)))
    return one, completed, draw(st.sampled_from(ids))


def unlocked(one: Course, completed: frozenset[str]) -> set[str]:
    return {level_id for level_id in one.levels if not one.missing(level_id, completed)}


def test_in_a_sequential_course_each_level_waits_for_the_one_before_across_sections() -> None:
    levels = [Level(f"l{n}") for n in range(5)]
    one = course(*levels, mode=UnlockMode.SEQUENTIAL, in_sections=3)
    assert one.missing("l0", ()) == ()
    for before, after in pairwise(levels):
        assert one.missing(after.level_id, ()) == (before.level_id,)


def test_prerequisites_count_only_in_the_mode_that_is_named_for_them() -> None:
    levels = (Level("a"), waiting("b", "a"), waiting("c", "a", "b"))
    assert course(*levels).missing("c", {"b"}) == ("a",)
    assert course(*levels, mode=UnlockMode.OPEN).missing("c", ()) == ()
    assert course(*levels, mode=UnlockMode.SEQUENTIAL).missing("c", {"b"}) == ()


@given(courses_with_progress())
def test_what_a_completion_opens_is_what_was_locked_before_it(
    case: tuple[Course, frozenset[str], str],
) -> None:
    one, completed, level_id = case
    before, after = unlocked(one, completed), unlocked(one, completed | {level_id})
    opened = {other for other in after - before if other not in completed}
    found = one.unlocked_by(level_id, completed - {level_id})
    if level_id not in completed:
        assert set(found) == opened - {level_id}
    assert list(found) == [other for other in one.levels if other in found]


@given(courses_with_progress())
def test_the_neighbours_alone_decide_what_waits_and_what_opens(
    case: tuple[Course, frozenset[str], str],
) -> None:
    one, completed, level_id = case
    around = completed & one.neighbours(level_id)
    assert one.missing(level_id, around) == one.missing(level_id, completed - {level_id})
    assert one.unlocked_by(level_id, around) == one.unlocked_by(level_id, completed - {level_id})


def reaches(graph: dict[str, tuple[str, ...]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [other for other in graph.get(start, ()) if other != start]
    while todo:
        one = todo.pop()
        if one in seen or one not in graph:
            continue
        seen.add(one)
        todo += [other for other in graph[one] if other != one]
    return seen


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.lists(st.sampled_from("abcdefz"), unique=True, max_size=3).map(tuple),
    )
)
def test_a_cycle_is_found_if_and_only_if_there_is_one_and_it_is_named(
    graph: dict[str, tuple[str, ...]],
) -> None:
    cycle = find_cycle(graph)
    assert bool(cycle) == any(one in reaches(graph, one) for one in graph)
    for one, required in pairwise((*cycle, *cycle[:1])):
        assert required in graph[one]


def test_of_many_cycles_a_short_one_is_named() -> None:
    ring: dict[str, tuple[str, ...]] = {f"l{n}": (f"l{(n + 1) % 100}",) for n in range(100)}
    ring["l50"] = ("l51", "l48")
    assert set(find_cycle(ring)) == {"l48", "l49", "l50"}


def test_a_long_chain_is_no_cycle_and_does_not_exhaust_the_stack() -> None:
    chain: dict[str, tuple[str, ...]] = {
        f"l{n}": (f"l{n - 1}",) if n else () for n in range(MAX_LEVELS)
    }
    assert find_cycle(chain) == ()
    chain["l0"] = (f"l{MAX_LEVELS - 1}",)
    assert len(find_cycle(chain)) == MAX_LEVELS


def fields(one: Course) -> list[str]:
    return [violation.field for violation in definition_violations(one)]


LEVEL = "course.sections[0].levels[0]"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Level(""), f"{LEVEL}.level_id"),
        (Level("a b"), f"{LEVEL}.level_id"),
        (Level("l", title="x" * 201), f"{LEVEL}.title"),
        (Level("l", title="a\nb"), f"{LEVEL}.title"),
        (Level("l", xp_reward=-1), f"{LEVEL}.xp_reward"),
        (Level("l", xp_reward=MAX_SCORE + 1), f"{LEVEL}.xp_reward"),
        (Level("l", max_marks=-1), f"{LEVEL}.max_marks"),
        (Level("l", pass_ratio=float("nan")), f"{LEVEL}.pass_ratio"),
        (Level("l", pass_ratio=1.0000001), f"{LEVEL}.pass_ratio"),
        (Level("l", pass_ratio=-0.1), f"{LEVEL}.pass_ratio"),
        (Level("l", question_count=-1), f"{LEVEL}.question_count"),
        (Level("l", min_time_spent_ms=-1), f"{LEVEL}.min_time_spent"),
        (Level("l", rewards=(Reward("pomodoros", 0),)), f"{LEVEL}.rewards[0].amount"),
        (Level("l", rewards=(Reward("pomodoros", MAX_SCORE + 1),)), f"{LEVEL}.rewards[0].amount"),
        (Level("l", rewards=(Reward("xp", 1),)), f"{LEVEL}.rewards[0].metric"),
        (Level("l", rewards=(Reward("marks", 1),)), f"{LEVEL}.rewards[0].metric"),
        (Level("l", rewards=(Reward("m", 1), Reward("m", 2))), f"{LEVEL}.rewards[1].metric"),
        (Level("l", prerequisites=("l",)), f"{LEVEL}.prerequisite_level_ids"),
        (Level("l", prerequisites=("nowhere",)), f"{LEVEL}.prerequisite_level_ids"),
    ],
)
def test_each_thing_that_is_wrong_with_a_level_is_named_by_its_path(
    wrong: Level, field: str
) -> None:
    assert fields(course(wrong)) == [field]


def test_what_is_wrong_with_the_course_is_named_by_its_path() -> None:
    good = course(Level("a"), Level("b"), in_sections=2)
    assert fields(good) == []
    assert fields(replace(good, course_id="a/b")) == ["course.course_id"]
    assert fields(replace(good, title="x" * 201)) == ["course.title"]
    assert fields(replace(good, sections=())) == ["course.sections"]
    twice = (Section("s", "", (Level("a"),)), Section("s", "", (Level("b"),)))
    assert fields(replace(good, sections=twice)) == ["course.sections[1].section_id"]
    doubled = (Section("s", "", (Level("a"), Level("a"))),)
    assert fields(replace(good, sections=doubled)) == ["course.sections[0].levels[1].level_id"]


def test_a_course_holds_at_most_5000_levels() -> None:
    assert fields(course(*(Level(f"l{n}") for n in range(5_000)))) == []
    assert fields(course(*(Level(f"l{n}") for n in range(5_001)))) == ["course.sections"]


def test_a_cycle_is_refused_with_its_levels_named() -> None:
    one = course(waiting("a", "c"), waiting("b", "a"), waiting("c", "b"), waiting("d", "a"))
    violations = definition_violations(one)
    assert [violation.field for violation in violations] == ["course.sections"]
    assert set(violations[0].description.removeprefix("cycle: ").split(" -> ")) == {"a", "b", "c"}
