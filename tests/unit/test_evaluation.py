"""Where a learner stands by which version, and what an edit changes: pure rules."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.course import Course, Level, Section, UnlockMode
from progress_service.domain.evaluation import (
    EditComparison,
    EditEffect,
    LevelStatus,
    Tried,
    completion_ratio,
    course_sums,
    level_status,
    reached,
    section_status,
)

IDS = ["a", "b", "c", "d", "e", "f"]
RATIOS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def course(*levels: Level, mode: UnlockMode = UnlockMode.PREREQUISITES) -> Course:
    return Course("c", "C", mode, (Section("s", "", levels),))


def waiting(level_id: str, *required: str) -> Level:
    return Level(level_id, prerequisites=required)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Some of the levels, in any order, each waiting for some of those before it."""
    ids = draw(st.permutations(draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True))))
    levels = []
    for n, one in enumerate(ids):
        required = draw(st.lists(st.sampled_from(ids[:n]), unique=True)) if n else []
        levels.append(Level(one, pass_ratio=draw(RATIOS), prerequisites=tuple(required)))
    return course(*levels, mode=draw(st.sampled_from(UnlockMode)))


TRIED = st.dictionaries(st.sampled_from(IDS), st.tuples(RATIOS, st.booleans()))


def locked(one: Course, completed: frozenset[str]) -> set[str]:
    return {
        level_id
        for level_id in one.levels
        if level_status(one, level_id, completed, ()) is LevelStatus.LOCKED
    }


@given(courses(), st.frozensets(st.sampled_from(IDS)), st.sampled_from(IDS))
def test_a_completed_level_is_never_locked(
    one: Course, completed: frozenset[str], level_id: str
) -> None:
    if level_id not in one.levels:
        return
    status = level_status(one, level_id, completed, completed)
    assert (status is LevelStatus.COMPLETED) == (level_id in completed)
    if status is not LevelStatus.COMPLETED:
        assert (status is LevelStatus.LOCKED) == bool(one.missing(level_id, completed))


@given(st.lists(st.sampled_from(LevelStatus), min_size=1))
def test_a_section_is_locked_or_completed_only_when_all_of_its_levels_are(
    statuses: Sequence[LevelStatus],
) -> None:
    whole = section_status(statuses)
    for kind in (LevelStatus.LOCKED, LevelStatus.COMPLETED):
        assert (whole is kind) == all(status is kind for status in statuses)
    begun = {LevelStatus.IN_PROGRESS, LevelStatus.COMPLETED} & {*statuses}
    if begun and whole is not LevelStatus.COMPLETED:
        assert whole is LevelStatus.IN_PROGRESS


def test_completion_is_a_share_and_zero_without_levels() -> None:
    assert (completion_ratio(1, 4), completion_ratio(4, 4), completion_ratio(0, 0)) == (0.25, 1, 0)


@given(st.lists(courses(), min_size=1, max_size=4), TRIED)
def test_judging_by_every_version_at_once_is_judging_by_one_after_the_other(
    versions: list[Course], tried: dict[str, tuple[float, bool]]
) -> None:
    left = {one: ratio for one, (ratio, completed) in tried.items() if not completed}
    at_once = reached([version.pass_ratios for version in versions], left)
    stepwise: dict[str, float] = {}
    for version in versions:
        found = reached([version.pass_ratios], left)
        stepwise |= found
        left = {one: ratio for one, ratio in left.items() if one not in found}
    assert at_once == stepwise
    for level_id, pass_ratio in at_once.items():
        assert tried[level_id][0] >= pass_ratio
    last = versions[-1]
    for level_id, ratio in left.items():
        assert level_id not in last.levels or ratio < last.levels[level_id].pass_ratio


@given(courses(), TRIED)
def test_completion_is_never_above_one_whatever_was_completed_elsewhere(
    one: Course, tried: dict[str, tuple[float, bool]]
) -> None:
    levels = {level: Tried(7, ratio, completed) for level, (ratio, completed) in tried.items()}
    also = reached([one.pass_ratios], {name: each.best_ratio for name, each in levels.items()})
    sums = course_sums(one, levels, also)
    assert 0 <= completion_ratio(sums.levels_completed, len(one.levels)) <= 1
    assert sums.marks == 7 * len(one.levels.keys() & tried.keys())


@given(courses(), courses(), st.frozensets(st.sampled_from(IDS)), TRIED)
def test_the_effect_of_an_edit_is_what_every_level_says_before_and_after(
    before: Course,
    after: Course,
    completed: frozenset[str],
    tried: dict[str, tuple[float, bool]],
) -> None:
    open_ = {one: ratio for one, (ratio, _) in tried.items() if one not in completed}
    now = reached([after.pass_ratios], open_)
    done = completed.union(now)
    both = before.levels.keys() & after.levels.keys()
    was, is_ = locked(before, completed) & both, locked(after, done) & both
    shares = [
        completion_ratio(len(levels & one.levels.keys()), len(one.levels))
        for one, levels in ((before, completed), (after, done))
    ]
    assert EditComparison(before, after).effect(completed, now) == EditEffect(
        newly_locked=bool(is_ - was),
        newly_unlocked=bool(was - is_),
        completion_changed=shares[0] != shares[1],
    )


def test_an_edit_says_for_whom_levels_lock_and_unlock_and_completion_changes() -> None:
    before = course(Level("a"), waiting("b", "a"), Level("c"))
    after = course(Level("a"), Level("b"), waiting("c", "b"))
    compare = EditComparison(before, after).effect
    assert compare(frozenset(), ()) == EditEffect(
        newly_locked=True, newly_unlocked=True, completion_changed=False
    )
    assert compare(frozenset("ab"), ()) == EditEffect(
        newly_locked=False, newly_unlocked=False, completion_changed=False
    )
    # b is open to this learner either way, and what b's completion opens is open now.
    assert compare(frozenset("a"), ("b",)) == EditEffect(
        newly_locked=False, newly_unlocked=False, completion_changed=True
    )
    shorter = course(Level("a"), waiting("b", "a"))
    assert EditComparison(before, shorter).effect(frozenset("a"), ()) == EditEffect(
        newly_locked=False, newly_unlocked=False, completion_changed=True
    )
