"""Judging attempts and awards: what they record, complete, open and pay."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.bounds import MAX_SCORE
from progress_service.domain.course import Course, Level, Reward, Section, UnlockMode
from progress_service.domain.submission import (
    CourseState,
    LearnerState,
    LevelState,
    Submission,
    check_level,
    judge,
)
from shared.errors import FailedPrecondition

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

ATTEMPT = Submission("ann", "l0", 5, 10, 1_000, "r1")


def course(*levels: Level, mode: UnlockMode = UnlockMode.OPEN) -> Course:
    return Course("c", "C", mode, (Section("s", "", levels),), version=1)


@dataclass
class Learner:
    """A learner's state as the database would keep it."""

    course: Course
    levels: dict[str, LevelState] = field(default_factory=dict)
    sums: CourseState = field(default_factory=CourseState)
    rewarded: set[str] = field(default_factory=set)
    totals: dict[str, int] = field(default_factory=dict)
    paid: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def completed(self) -> frozenset[str]:
        return frozenset(one for one, level in self.levels.items() if level.complete_time)

    def submit(self, submission: Submission) -> tuple[str, ...]:
        state = LearnerState(
            self.levels.get(submission.level_id, LevelState()),
            self.sums,
            self.completed & self.course.neighbours(submission.level_id),
            submission.level_id in self.rewarded,
            self.totals,
        )
        found = judge(submission, self.course, state, NOW)
        self.levels[submission.level_id] = found.level
        self.sums = found.course
        if found.rewarded:
            self.rewarded.add(submission.level_id)
        for credit in found.credits:
            assert credit.total_before == self.totals.get(credit.metric, 0)
            self.totals[credit.metric] = credit.total_after
            self.paid.append((submission.level_id, credit.metric, credit.amount))
        return found.unlocked_level_ids


LEVELS = tuple(
    Level(f"l{n}", "", 50 + n, 7 * n, 0.5, rewards=(Reward("problems_solved", 1),))
    for n in range(3)
)

ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from(["l0", "l1", "l2"]), st.integers(0, 10), st.booleans(), st.integers(0, 900)
    ),
    max_size=12,
)


@given(ATTEMPTS)
def test_any_sequence_of_attempts_adds_up(attempts: list[tuple[str, int, bool, int]]) -> None:
    learner = Learner(course(*LEVELS))
    for level_id, correct, without_xp, spent in attempts:
        learner.submit(
            replace(
                ATTEMPT,
                level_id=level_id,
                correct_answers=correct,
                without_xp=without_xp,
                time_spent_ms=spent,
            )
        )
    for n, level in enumerate(LEVELS):
        mine = [one for one in attempts if one[0] == level.level_id]
        state = learner.levels.get(level.level_id, LevelState())
        passes = [one for one in mine if one[1] >= 5]
        pays = bool(passes) and not passes[0][2]  # a result carried over settles the reward
        best = max((7 * n * one[1] * 2 + 10) // 20 for one in mine) if mine else 0
        assert state.best_marks == best
        assert (state.attempts, state.time_spent_ms) == (len(mine), sum(one[3] for one in mine))
        assert (state.complete_time is not None) == bool(passes)
        assert state.xp_earned == (level.xp_reward if pays else 0)
        assert learner.paid.count((level.level_id, "xp", level.xp_reward)) == pays
        assert learner.paid.count((level.level_id, "problems_solved", 1)) == pays
    assert learner.totals.get("marks", 0) == sum(s.best_marks for s in learner.levels.values())
    assert learner.sums == CourseState(
        len(learner.completed), sum(state.best_marks for state in learner.levels.values())
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=15))
def test_a_sequential_course_opens_one_level_after_the_other(
    attempts: list[tuple[int, bool]],
) -> None:
    ids = [f"l{n}" for n in range(4)]
    learner = Learner(
        course(*(Level(one, pass_ratio=1) for one in ids), mode=UnlockMode.SEQUENTIAL)
    )
    done = 0
    for n, passes in attempts:
        submission = replace(ATTEMPT, level_id=ids[n], correct_answers=10 if passes else 0)
        if n > done:
            with pytest.raises(FailedPrecondition) as caught:
                learner.submit(submission)
            assert caught.value.reason == "LEVEL_LOCKED"
            assert caught.value.metadata["missing_level_ids"] == ids[n - 1]
            continue
        opened = learner.submit(submission)
        finishes = passes and n == done
        assert opened == ((ids[n + 1],) if finishes and n < 3 else ())
        done += finishes
    assert learner.completed == frozenset(ids[:done])


def test_a_locked_level_names_at_most_twenty_that_are_missing_and_how_many_there_are() -> None:
    ids = [f"l{n:02d}" for n in range(30)]
    levels = [*(Level(one) for one in ids), Level("last", prerequisites=tuple(ids))]
    learner = Learner(course(*levels, mode=UnlockMode.PREREQUISITES))
    with pytest.raises(FailedPrecondition) as caught:
        learner.submit(replace(ATTEMPT, level_id="last"))
    assert caught.value.metadata == {
        "level_id": "last",
        "missing_level_ids": ",".join(ids[:20]),
        "missing_count": "30",
    }


def test_a_level_that_was_completed_stays_open_when_an_edit_would_lock_it() -> None:
    learner = Learner(course(Level("l0"), Level("l1")))
    learner.submit(replace(ATTEMPT, level_id="l1"))
    learner.course = course(Level("l0"), Level("l1"), mode=UnlockMode.SEQUENTIAL)
    learner.submit(replace(ATTEMPT, level_id="l1", correct_answers=0))
    assert learner.completed == {"l1"}


@pytest.mark.parametrize("metric", ["xp", "marks", "problems_solved"])
def test_a_total_beyond_the_largest_refuses_the_whole_attempt(metric: str) -> None:
    level = Level("l0", xp_reward=2, max_marks=2, rewards=(Reward("problems_solved", 2),))
    learner = Learner(course(level), totals={metric: MAX_SCORE - 1})
    with pytest.raises(FailedPrecondition) as caught:
        learner.submit(replace(ATTEMPT, correct_answers=10))
    assert caught.value.reason == "TOTAL_TOO_LARGE"
    assert caught.value.metadata == {"metric": metric, "total": str(MAX_SCORE - 1)}
    learner.totals[metric] = MAX_SCORE - 2
    learner = Learner(course(level), totals={metric: MAX_SCORE - 2})
    learner.submit(replace(ATTEMPT, correct_answers=10))
    assert learner.totals[metric] == MAX_SCORE


def test_an_archived_course_takes_no_submissions() -> None:
    archived = replace(course(Level("l0")), archived=True)
    with pytest.raises(FailedPrecondition) as caught:
        check_level(ATTEMPT, archived)
    assert (caught.value.reason, caught.value.metadata) == ("COURSE_ARCHIVED", {"course_id": "c"})
