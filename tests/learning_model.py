"""What ProgressService must come to, in plain Python: one course, things in order of arrival."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta

from shared.periods import periods_of


@dataclass(frozen=True)
class Rule:
    """A level. `requires`: the levels that must be completed before it."""

    pass_ratio: float
    xp: int
    max_marks: int
    problems: int
    requires: tuple[str, ...]


@dataclass(eq=False)
class Attempt:
    level: str
    ratio: float
    marks: int
    ms: int
    day: date
    passed: bool
    correct: int = 0
    voided: bool = False
    under_review: bool = False
    arrival: int = 0

    @property
    def counts(self) -> bool:
        return not (self.voided or self.under_review)


@dataclass(eq=False)
class Entry:
    metric: str
    amount: int
    day: date
    level: str = ""
    attempt: Attempt | None = None
    state: str = "counts"  # or "revoked", "voided"


@dataclass
class Learner:
    attempts: list[Attempt] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    paid: dict[str, Attempt] = field(default_factory=dict)  # level → the attempt that paid it
    done: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)  # request ids and references

    def tries(self, level: str) -> list[Attempt]:
        """Those that count, in the order in which they arrived, or were accepted."""
        tries = [one for one in self.attempts if one.level == level and one.counts]
        return sorted(tries, key=lambda one: one.arrival)

    def of_level(self, level: str, *, marks: bool) -> list[Entry]:
        return [e for e in self.entries if e.level == level and (e.metric == "marks") is marks]

    def best(self, level: str) -> int:
        return max((one.marks for one in self.tries(level)), default=0)


class Model:
    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        self.known: dict[str, Rule] = {}  # also of levels that were dropped
        self.arrivals = 0
        self.learners: dict[str, Learner] = {}

    def put_course(self, rules: dict[str, Rule]) -> None:
        self.rules = rules
        self.known |= rules
        for learner in self.learners.values():
            for level, rule in rules.items():
                reach = [one for one in learner.tries(level) if one.ratio >= rule.pass_ratio]
                if reach and level not in learner.done:
                    learner.done.add(level)
                    for one in reach:
                        one.passed = True

    def submit(
        self, user: str, level: str, correct: int, day: date, request: str, *, quick: bool = False
    ) -> None:
        learner, rule = self.learners.get(user), self.rules.get(level)
        if learner is None or rule is None or request in learner.seen:
            return
        if level not in learner.done and not learner.done.issuperset(rule.requires):
            return
        learner.seen.add(request)
        attempt = Attempt(level, correct / 10, 0, 0 if quick else 1000, day, passed=False)
        attempt.correct, attempt.under_review = correct, quick
        learner.attempts.append(attempt)
        if not quick:
            self.count(learner, attempt)

    def resolve(self, learner: Learner, attempt: Attempt, *, accept: bool) -> None:
        if attempt.under_review and accept:
            self.count(learner, attempt)
        elif attempt.under_review:
            attempt.under_review, attempt.voided = False, True

    def count(self, learner: Learner, attempt: Attempt) -> None:
        level, day, rule = attempt.level, attempt.day, self.known[attempt.level]
        marks = (2 * rule.max_marks * attempt.correct + 10) // 20
        others = [one.marks for one in learner.tries(level) if one is not attempt]
        before = max(others, default=0)
        self.arrivals += 1
        attempt.arrival, attempt.under_review = self.arrivals, False
        attempt.marks, attempt.passed = marks, attempt.ratio >= rule.pass_ratio
        amounts: dict[str, int] = {}
        if attempt.passed:
            learner.done.add(level)
            if level not in learner.paid:
                learner.paid[level] = attempt
                amounts = {"xp": rule.xp, "problems_solved": rule.problems}
        # In the order of the ledger, by which the play picks entries.
        amounts["marks"] = marks - before
        for metric, amount in amounts.items():
            if amount > 0:
                learner.entries.append(Entry(metric, amount, day, level, attempt))

    def award(self, user: str, amount: int, day: date, reference: str, request: str) -> None:
        learner = self.learners.get(user)
        if learner is None or request in learner.seen:
            return
        if reference not in learner.seen:
            learner.entries.append(Entry("xp", amount, day))
        learner.seen |= {request, reference}

    def revoke(self, entry: Entry) -> None:
        if entry.state == "counts":
            entry.state = "revoked"

    def void(self, learner: Learner, attempt: Attempt) -> None:
        was_counted = attempt.counts
        attempt.voided, attempt.under_review = True, False
        if was_counted:
            self.judge_again(learner, attempt.level)

    def judge_again(self, learner: Learner, level: str) -> None:
        rule = self.rules.get(level)
        left = learner.tries(level)
        reach = [one for one in left if rule and one.ratio >= rule.pass_ratio]
        completing = next((one for one in left if one.passed or one in reach), None)
        if completing and not completing.passed:
            for one in reach:
                one.passed = True
        if not completing:
            learner.done.discard(level)
            payer = learner.paid.get(level)
            paid = [e for e in learner.of_level(level, marks=False) if e.attempt is payer]
            if payer and not any(entry.state == "revoked" for entry in paid):
                del learner.paid[level]
            for entry in paid:
                entry.state = "voided" if entry.state == "counts" else entry.state
        best, again = learner.best(level), 0
        for entry in learner.of_level(level, marks=True):
            # An entry stands for the marks up to those of its attempt.
            if entry.attempt and entry.state == "counts" and entry.attempt.marks > best:
                entry.state = "voided"
                again += max(0, best - (entry.attempt.marks - entry.amount))
        if again:
            holder = next(one for one in left if one.marks == best)
            learner.entries.append(Entry("marks", again, holder.day, level, holder))

    def scores(self, user: str) -> Counter[tuple[str, bool, int, str]]:
        """(metric, whether on the course's board, window, period) → score above 0."""
        found: Counter[tuple[str, bool, int, str]] = Counter()
        for entry in self.learners[user].entries:
            for window, period in periods_of(entry.day) if entry.state == "counts" else ():
                if entry.metric != "marks" or not period:
                    for on_course in {False, bool(entry.level)}:
                        found[entry.metric, on_course, int(window), period] += entry.amount
        return found

    def active(self, user: str) -> set[date]:
        learner = self.learners[user]
        awards = {e.day for e in learner.entries if not e.level and e.state == "counts"}
        return awards | {one.day for one in learner.attempts if one.counts}

    def streak(self, user: str, today: date) -> int:
        active, day, length = self.active(user), today, 0
        day = day if day in active else day - timedelta(days=1)
        while day in active:
            day, length = day - timedelta(days=1), length + 1
        return length
