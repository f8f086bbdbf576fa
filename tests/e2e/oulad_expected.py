"""What the boards must hold after OULAD went in, worked out from its CSV files alone.

Deliberately independent: the standard library only, nothing of Laurel is imported, and the rules
are written down here a second time, from the data set's fixed mapping (`README.md` beside it) and
the contract's prose. If this and the services agree, two separate readings of the rules agree.

Run it by itself to see the figures: `python tests/e2e/oulad_expected.py DIR`.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

PASS_MARK = 40
XP_BY_TYPE = {"TMA": 50, "CMA": 20, "Exam": 100}
DAY_ZERO_MONTH = {"J": 10, "B": 2}


class BoardKey(NamedTuple):
    """A board by name: metric, course ("" is all), window as in the contract, period."""

    metric: str
    course: str
    window: str
    period: str


class Row(NamedTuple):
    """One line of a board."""

    rank: int
    user: str
    score: int


@dataclass
class Expected:
    """Counts of one import into an empty stack, and the scores of every board above zero."""

    received: int = 0
    recorded: int = 0
    rejected: int = 0
    xp_credited: int = 0
    entries: int = 0
    users: int = 0
    courses: int = 0
    scores: dict[BoardKey, dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )

    def boards(self) -> list[BoardKey]:
        """Every board that has an entry, in name order."""
        return sorted(key for key, scores in self.scores.items() if any(scores.values()))

    def table(self, key: BoardKey) -> list[Row]:
        """The board from the top: competition ranks (1, 1, 3), equal scores by user id."""
        listed = sorted(
            ((user, score) for user, score in self.scores[key].items() if score > 0),
            key=lambda item: (-item[1], item[0]),
        )
        rows: list[Row] = []
        for place, (user, score) in enumerate(listed, start=1):
            tied = bool(rows) and rows[-1].score == score
            rows.append(Row(rows[-1].rank if tied else place, user, score))
        return rows


def expected_of(folder: Path) -> Expected:
    """Read the four files of `folder` and work everything out.

    A student's marks on an assessment are the score (of 100). XP is paid once for each passed
    assessment, unless the first result that passes was carried over (`is_banked`), whose marks
    count all the same.
    A row without a score is rejected.
    """
    result = Expected()
    result.courses = sum(1 for _ in rows_of(folder / "courses.csv"))
    students = {row["id_student"] for row in rows_of(folder / "studentInfo.csv")}
    result.users = len(students)
    assessments = {
        row["id_assessment"]: (
            f"{row['code_module']}-{row['code_presentation']}",
            XP_BY_TYPE[row["assessment_type"]],
        )
        for row in rows_of(folder / "assessments.csv")
    }
    best: dict[tuple[str, str], int] = {}
    settled: set[tuple[str, str]] = set()
    for row in rows_of(folder / "studentAssessment.csv"):
        result.received += 1
        if row["score"] == "":
            result.rejected += 1
            continue
        result.recorded += 1
        student, assessment, score = row["id_student"], row["id_assessment"], int(row["score"])
        if student not in students:
            raise ValueError(f"student {student} has an attempt and no enrolment")
        course, reward = assessments[assessment]
        day = day_zero(course) + timedelta(days=int(row["date_submitted"]))
        key = (student, assessment)
        gained = score - best.get(key, 0)
        if gained > 0:
            best[key] = score
            _credit_marks(result, course, student, gained)
        if score >= PASS_MARK and key not in settled:
            settled.add(key)
            if row["is_banked"] == "0":
                _credit_xp(result, course, student, reward, day)
    return result


def _credit_marks(result: Expected, course: str, student: str, amount: int) -> None:
    """Marks are kept for all time alone, over all courses and in each."""
    result.entries += 1
    for where in ("", course):
        result.scores[BoardKey("marks", where, "ALL_TIME", "")][student] += amount


def _credit_xp(result: Expected, course: str, student: str, amount: int, day: date) -> None:
    """XP counts over all courses and in its course, in the five windows of its day."""
    result.entries += 1
    result.xp_credited += amount
    for where in ("", course):
        for window, period in _periods(day):
            result.scores[BoardKey("xp", where, window, period)][student] += amount


def _periods(day: date) -> list[tuple[str, str]]:
    """The windows that a day lies in; weeks are those of ISO 8601, with their own year."""
    iso_year, iso_week, _ = day.isocalendar()
    return [
        ("ALL_TIME", ""),
        ("YEAR", f"{day.year:04d}"),
        ("MONTH", f"{day.year:04d}-{day.month:02d}"),
        ("WEEK", f"{iso_year:04d}-W{iso_week:02d}"),
        ("DAY", day.isoformat()),
    ]


def day_zero(course: str) -> date:
    """`AAA-2013J` starts on 1 October 2013, `AAA-2013B` on 1 February 2013."""
    presentation = course.split("-")[1]
    return date(int(presentation[:4]), DAY_ZERO_MONTH[presentation[4]], 1)


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines)


def main() -> None:
    """Print the figures and the top of some boards."""
    result = expected_of(Path(sys.argv[1]))
    lines = [
        f"received {result.received}  recorded {result.recorded}  rejected {result.rejected}",
        f"xp_credited {result.xp_credited}  ledger entries {result.entries}",
        f"users {result.users}  courses {result.courses}",
    ]
    kinds = Counter((key.metric, bool(key.course), key.window) for key in result.boards())
    for (metric, per_course, window), count in sorted(kinds.items()):
        lines.append(f"{metric} {window} {'per course' if per_course else 'overall'}: {count}")
    for metric in ("xp", "marks"):
        table = result.table(BoardKey(metric, "", "ALL_TIME", ""))
        lines.append(f"{metric}: {len(table)} users, sum {sum(row.score for row in table)}")
        lines += [f"  {row.rank}. {row.user} {row.score}" for row in table[:5]]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
