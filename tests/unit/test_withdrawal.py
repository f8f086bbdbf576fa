"""Withdrawing attempts: what remains is what the remaining attempts come to."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.course import Course, Level, Reward, Section, UnlockMode
from progress_service.domain.ledger import MARKS, XP
from progress_service.domain.submission import (
    CourseState,
    LearnerState,
    LevelState,
    Submission,
    judge,
)
from progress_service.domain.withdrawal import Attempt, Fate, Paid, Withdrawal, withdraw

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
LEVEL = Level("l1", "", 50, 100, 0.6, rewards=(Reward("problems", 2),))


@dataclass
class Learner:
    """One learner at one level, with a ledger as the database would keep it."""

    level: Level = LEVEL
    state: LevelState = field(default_factory=LevelState)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    paid: dict[int, Paid] = field(default_factory=dict)
    ledger: list[tuple[str, int]] = field(default_factory=list)
    rewarded: bool = False
    arrived: int = 0

    def submit(self, correct: int, *, without_xp: bool = False) -> int:
        course = Course("c", "", UnlockMode.OPEN, (Section("s", "", (self.level,)),))
        self.arrived += 1
        number = self.arrived
        time = START + timedelta(hours=number)
        given = Submission("ann", "l1", correct, 10, 1_000, f"r{number}", without_xp=without_xp)
        before = LearnerState(self.state, CourseState(), frozenset(), self.rewarded, {})
        found = judge(given, course, before, time)
        self.state, self.rewarded = found.level, self.rewarded or found.rewarded
        tried = Attempt(number, correct, 10, found.marks, 1_000, found.passed, time)
        self.attempts[number] = tried
        for credit in found.credits:
            self.add(credit.metric, credit.amount, found.marks)
        return number

    def add(self, metric: str, amount: int, top: int) -> None:
        number = len(self.paid) + 1
        self.paid[number] = Paid(number, metric, amount, Fate.COUNTS, top)
        self.ledger.append((metric, amount))

    def cancel(self, entry_id: int, fate: Fate) -> None:
        entry = self.paid[entry_id]
        assert entry.fate is Fate.COUNTS
        self.paid[entry_id] = entry._replace(fate=fate)
        self.ledger.append((entry.metric, -entry.amount))

    def revoke(self, entry_id: int) -> None:
        entry = self.paid[entry_id]
        if entry.fate is Fate.COUNTS:
            self.cancel(entry_id, Fate.REVOKED)
            if entry.metric == XP:
                less = self.state.xp_earned - entry.amount
                self.state = self.state._replace(xp_earned=less)

    def void(self, number: int, level: Level | None = LEVEL) -> Withdrawal:
        del self.attempts[number]
        found = withdraw(level, [*self.attempts.values()], [*self.paid.values()])
        for entry in found.cancelled:
            self.cancel(entry.entry_id, Fate.WITHDRAWN)
        if found.marks_again:
            assert found.best is not None
            self.add(MARKS, found.marks_again, found.best.marks)
        for one in found.passes_now:
            self.attempts[one] = self.attempts[one]._replace(passed=True)
        self.state = found.level
        if found.reward_open:
            self.rewarded = False
        return found

    def total(self, metric: str) -> int:
        return sum(amount for name, amount in self.ledger if name == metric)


SCORES = st.lists(st.integers(0, 10), min_size=1, max_size=8)


@given(SCORES, st.data())
def test_what_remains_is_what_the_remaining_attempts_alone_would_have_earned(
    scores: list[int], data: st.DataObject
) -> None:
    learner = Learner()
    numbers = [learner.submit(score) for score in scores]
    for number in data.draw(st.lists(st.sampled_from(numbers), unique=True)):
        learner.void(number)
    alone = Learner()
    for one in learner.attempts.values():
        alone.submit(one.correct_answers)
    assert learner.state._replace(complete_time=None) == alone.state._replace(complete_time=None)
    for metric in (XP, MARKS, "problems"):
        assert learner.total(metric) == alone.total(metric)
    passing = [one.time for one in learner.attempts.values() if one.passed]
    assert learner.state.complete_time == min(passing, default=None)


STEPS = st.lists(
    st.tuples(st.sampled_from(["submit", "void", "revoke"]), st.integers(0, 10)), max_size=25
)


@given(STEPS)
def test_whatever_is_revoked_and_withdrawn_nothing_falls_below_zero_or_is_paid_twice(
    steps: list[tuple[str, int]],
) -> None:
    learner = Learner()
    for act, number in steps:
        if act == "submit":
            learner.submit(number, without_xp=number == 9)
        elif act == "void" and learner.attempts:
            present = [*learner.attempts]
            learner.void(present[number % len(present)])
        elif act == "revoke" and learner.paid:
            learner.revoke(number % len(learner.paid) + 1)
        counting = [one for one in learner.paid.values() if one.fate is Fate.COUNTS]
        assert learner.total(MARKS) == sum(o.amount for o in counting if o.metric == MARKS)
        assert learner.total(MARKS) <= learner.state.best_marks
        assert learner.total(XP) == learner.state.xp_earned <= LEVEL.xp_reward
        assert learner.state.attempts == len(learner.attempts)
    for metric in (XP, MARKS, "problems"):
        assert min(accumulate(a for name, a in learner.ledger if name == metric), default=0) >= 0


def test_a_level_that_is_completed_no_more_takes_its_reward_back_and_can_earn_it_again() -> None:
    learner = Learner()
    failed, passed = learner.submit(3), learner.submit(8)
    found = learner.void(passed)
    assert found.level == LevelState(30, 1, 1_000, None, 0, 0.3)
    assert found.reward_open
    assert [(one.metric, one.amount) for one in found.cancelled] == [
        ("marks", 50),
        ("problems", 2),
        ("xp", 50),
    ]
    learner.submit(7)
    assert (learner.total(XP), learner.total("problems"), learner.total(MARKS)) == (50, 2, 70)
    assert learner.void(failed).cancelled == ()


def test_a_level_that_another_attempt_completes_keeps_its_reward() -> None:
    learner = Learner()
    first, second = learner.submit(8), learner.submit(6)
    found = learner.void(first)
    assert found.level.complete_time == learner.attempts[second].time
    assert (found.level.xp_earned, learner.total(XP), found.reward_open) == (50, 50, False)
    assert [one.metric for one in found.cancelled] == ["marks"]
    assert (found.marks_again, learner.total(MARKS)) == (60, 60)
    found = learner.void(second)
    assert (found.level, found.best, found.reward_open) == (LevelState(), None, True)
    assert {learner.total(metric) for metric in (XP, MARKS, "problems")} == {0}


@pytest.mark.parametrize("metric", [XP, "problems"])
def test_a_reward_that_was_revoked_in_part_is_never_paid_again(metric: str) -> None:
    learner = Learner()
    passed = learner.submit(8)
    learner.revoke(next(one.entry_id for one in learner.paid.values() if one.metric == metric))
    assert not learner.void(passed).reward_open
    learner.submit(8)
    assert (learner.total(XP), learner.total("problems"), learner.total(MARKS)) == (0, 0, 80)


def test_marks_that_were_revoked_and_withdrawn_are_taken_once() -> None:
    learner = Learner()
    learner.submit(6)
    better = learner.submit(8)
    paid = [one.entry_id for one in learner.paid.values() if one.metric == MARKS]
    learner.revoke(paid[1])
    assert learner.total(MARKS) == 60
    assert learner.void(better).cancelled == ()
    assert learner.total(MARKS) == 60


def test_marks_that_were_revoked_stay_so_when_a_better_attempt_is_withdrawn() -> None:
    learner = Learner()
    learner.submit(6)
    better = learner.submit(8)
    learner.revoke(next(one.entry_id for one in learner.paid.values() if one.metric == MARKS))
    assert learner.total(MARKS) == 20
    learner.void(better)
    assert (learner.total(MARKS), learner.state.best_marks) == (0, 60)
    learner.submit(9)
    assert learner.total(MARKS) == 30


def test_an_attempt_that_failed_then_and_passes_now_completes_the_level() -> None:
    learner = Learner()
    failed, passed = learner.submit(4), learner.submit(8)
    easier = replace(LEVEL, pass_ratio=0.4)
    found = learner.void(passed, easier)
    assert found.level.complete_time == learner.attempts[failed].time
    assert (found.level.xp_earned, found.reward_open) == (50, False)


def test_an_attempt_that_passed_then_completes_a_level_that_was_made_harder_or_dropped() -> None:
    for level in (replace(LEVEL, pass_ratio=1.0), None):
        learner = Learner()
        first, second = learner.submit(6), learner.submit(7)
        assert learner.void(first, level).level.complete_time == learner.attempts[second].time
        assert learner.void(second, level).level == LevelState()


def test_a_result_that_was_carried_over_without_xp_keeps_a_level_completed() -> None:
    learner = Learner()
    paid, carried = learner.submit(8), learner.submit(9, without_xp=True)
    assert learner.total(XP) == 50
    found = learner.void(paid)
    assert (found.cancelled, found.level.xp_earned) == ((), 50)
    assert learner.void(carried).reward_open
    assert learner.total(XP) == 0


def test_a_result_that_was_carried_over_takes_the_reward_until_no_attempt_passes() -> None:
    learner = Learner()
    carried, later = learner.submit(9, without_xp=True), learner.submit(8)
    assert learner.total(XP) == 0
    assert not learner.void(carried).reward_open
    assert learner.void(later).reward_open
    learner.submit(7)
    assert learner.total(XP) == 50


def test_what_completes_a_level_by_a_withdrawal_has_passed_with_all_that_pass_now() -> None:
    learner = Learner(level=replace(LEVEL, pass_ratio=0.8))
    best, *others, worst = [learner.submit(score) for score in (10, 5, 4, 1)]
    found = learner.void(best, replace(LEVEL, pass_ratio=0.4))
    assert found.passes_now == (*others,)
    harder = replace(LEVEL, pass_ratio=0.9)
    found = learner.void(worst, harder)
    assert (found.passes_now, found.reward_open) == ((), False)
    assert found.level.complete_time is not None
    assert learner.void(others[0], harder).level.complete_time is not None
    assert learner.void(others[1], harder).reward_open


def test_marks_again_are_a_part_of_the_one_entry_that_reaches_below_the_best() -> None:
    learner = Learner()
    first, _, best = [learner.submit(score) for score in (8, 3, 9)]
    assert learner.void(best).replaced is None
    found = learner.void(first)
    assert found.replaced is not None
    assert (found.replaced.top, found.marks_again) == (80, 30)
