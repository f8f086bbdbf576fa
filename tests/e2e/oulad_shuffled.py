"""OULAD as a careless client would send it, and what it must come to all the same.

Rows in any order, some twice, some once more under another request id. The standard library only,
as oulad_expected.py: nothing of Laurel is imported.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests.e2e.oulad_expected import PASS_MARK, day_zero, rows_of

REPEATED = 0.10
"""Of the rows: twice under one request id."""
SENT_AGAIN = 0.05
"""Of the rows: once more under another."""
COLUMNS = (
    "user_id",
    "level_id",
    "correct_answers",
    "total_questions",
    "occurred_time",
    "without_xp",
    "request_id",
)


@dataclass
class Learner:
    """A student in one course; `marks` and `attempts` by assessment."""

    marks: dict[str, int] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)

    @property
    def completed(self) -> int:
        """Assessments that were passed."""
        return sum(marks >= PASS_MARK for marks in self.marks.values())


@dataclass
class Shuffled:
    """What was written: counts of the rows, and the learners by course and student."""

    received: int = 0
    recorded: int = 0
    replayed: int = 0
    rejected: int = 0
    learners: dict[tuple[str, str], Learner] = field(default_factory=lambda: defaultdict(Learner))


def write_shuffled(folder: Path, target: Path, seed: int) -> Shuffled:
    """Writes the attempts of `folder` as a CSV file of attempts."""
    random = Random(seed)
    course_of = {
        row["id_assessment"]: f"{row['code_module']}-{row['code_presentation']}"
        for row in rows_of(folder / "assessments.csv")
    }
    written = Shuffled()
    rows: list[dict[str, Any]] = []
    for row in rows_of(folder / "studentAssessment.csv"):
        course = course_of[row["id_assessment"]]
        for request_id, again in _sendings(row, random):
            rows.append(_attempt(row, course, request_id))
            _count(written, row, course, again=again)
    random.shuffle(rows)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return written


def write_users(folder: Path, target: Path) -> None:
    """Writes the students of `folder` as a CSV file of users."""
    students = {row["id_student"]: None for row in rows_of(folder / "studentInfo.csv")}
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("user_id", "display_name"))
        writer.writerows((student, f"Student {student}") for student in students)


def _sendings(row: dict[str, str], random: Random) -> Iterator[tuple[str, bool]]:
    """The request ids that a row is sent under, and whether that was used before."""
    first = f"{row['id_student']}:{row['id_assessment']}"
    yield first, False
    if random.random() < REPEATED:
        yield first, True
    if random.random() < SENT_AGAIN:
        yield f"{first}:again", False


def _attempt(row: dict[str, str], course: str, request_id: str) -> dict[str, Any]:
    day = day_zero(course) + timedelta(days=int(row["date_submitted"]))
    return {
        "user_id": row["id_student"],
        "level_id": row["id_assessment"],
        "correct_answers": row["score"],
        "total_questions": 100,
        "occurred_time": f"{day.isoformat()}T12:00:00Z",
        "without_xp": row["is_banked"],
        "request_id": request_id,
    }


def _count(written: Shuffled, row: dict[str, str], course: str, *, again: bool) -> None:
    written.received += 1
    if not row["score"]:
        written.rejected += 1
    elif again:
        written.replayed += 1
    else:
        written.recorded += 1
        learner = written.learners[course, row["id_student"]]
        learner.marks[row["id_assessment"]] = int(row["score"])
        learner.attempts[row["id_assessment"]] += 1
