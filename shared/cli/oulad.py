"""Reads the Open University Learning Analytics Dataset as courses, users and attempts.

The data set: J. Kuzilek, M. Hlosta, Z. Zdrahal, Scientific Data 4:170171 (2017),
doi 10.1038/sdata.2017.171. Four of its files are read, one row at a time:

- courses.csv: a row is a course, `AAA-2013J`, whose day 0 is 1 October (J) or 1 February (B).
- assessments.csv: a row is a level (of 100 marks, passed at 40), in the section of its type.
- studentInfo.csv: a row is an enrolment; a distinct id_student is a user.
- studentAssessment.csv: a row is an attempt, at 12:00 UTC of its day.

A file that does not read as described raises OuladError, which names file, line and column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, NamedTuple

COURSES = "courses.csv"
ASSESSMENTS = "assessments.csv"
STUDENTS = "studentInfo.csv"
ATTEMPTS = "studentAssessment.csv"

SECTION_TYPES = ("TMA", "CMA", "Exam")

_DAY_ZERO_MONTH = {"J": 10, "B": 2}
_DAY_S = 24 * 3600
_NOON_S = 12 * 3600
_MAX_DAYS = 100_000
_MAX_SCORE = 2**31 - 1
_PRESENTATION = re.compile(r"[1-9][0-9]{3}[JB]")
_MODULE = re.compile(r"[A-Za-z0-9._]{1,32}")
_ID = re.compile(r"[0-9]{1,18}")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


class OuladError(Exception):
    """The folder does not hold the data set as described; the text says where and why."""


class Assessment(NamedTuple):
    """A level: its id, its type (one of SECTION_TYPES) and the day it is due."""

    assessment_id: str
    kind: str
    due_day: int


@dataclass(frozen=True)
class OuladCourse:
    """A course and its assessments, by type in the order of SECTION_TYPES, then day and id."""

    course_id: str
    day_zero_s: int
    assessments: tuple[Assessment, ...]


class OuladAttempt(NamedTuple):
    """A row of studentAssessment.csv. A blank score is None."""

    student_id: str
    assessment_id: str
    score: int | None
    occurred_s: int
    banked: bool


def read_courses(folder: Path) -> list[OuladCourse]:
    """The courses with their assessments, in the order of courses.csv."""
    length_of: dict[str, int] = {}
    day_zero_of: dict[str, int] = {}
    file = _CsvFile(folder, COURSES)
    columns = ("code_module", "code_presentation", "module_presentation_length")
    for module, presentation, length in file.rows(columns):
        course_id = file.course_id(module, presentation)
        if course_id in length_of:
            raise file.error("code_presentation", f"course {course_id} is listed twice")
        length_of[course_id] = file.whole_number("module_presentation_length", length)
        day_zero_of[course_id] = _day_zero_s(presentation)
    levels = _read_assessments(folder, length_of)
    return [
        OuladCourse(course_id, day_zero_of[course_id], tuple(levels[course_id]))
        for course_id in length_of
    ]


def _read_assessments(folder: Path, length_of: dict[str, int]) -> dict[str, list[Assessment]]:
    levels: dict[str, list[Assessment]] = {course_id: [] for course_id in length_of}
    known: set[str] = set()
    file = _CsvFile(folder, ASSESSMENTS)
    columns = ("code_module", "code_presentation", "id_assessment", "assessment_type", "date")
    for module, presentation, assessment_id, kind, due in file.rows(columns):
        course_id = file.course_id(module, presentation)
        if course_id not in levels:
            raise file.error("code_presentation", f"course {course_id} is not in {COURSES}")
        if kind not in SECTION_TYPES:
            raise file.error("assessment_type", f"{kind!r} is none of {', '.join(SECTION_TYPES)}")
        if file.identifier("id_assessment", assessment_id) in known:
            raise file.error("id_assessment", f"assessment {assessment_id} is listed twice")
        known.add(assessment_id)
        due_day = file.whole_number("date", due) if due else length_of[course_id]
        levels[course_id].append(Assessment(assessment_id, kind, due_day))
    for assessments in levels.values():
        assessments.sort(key=_level_order)
    return levels


def _level_order(level: Assessment) -> tuple[int, int, int]:
    return (SECTION_TYPES.index(level.kind), level.due_day, int(level.assessment_id))


def read_students(folder: Path) -> list[str]:
    """The distinct student ids, in the order of their first enrolment."""
    students: dict[str, None] = {}
    file = _CsvFile(folder, STUDENTS)
    for (student_id,) in file.rows(("id_student",)):
        students[file.identifier("id_student", student_id)] = None
    return list(students)


def check(folder: Path) -> int:
    """Read everything once and return the number of attempts; raises what reading raises."""
    courses = read_courses(folder)
    read_students(folder)
    return sum(1 for _ in read_attempts(folder, courses))


def read_attempts(folder: Path, courses: Sequence[OuladCourse]) -> Iterator[OuladAttempt]:
    """The attempts, in file order, one at a time."""
    noon_of = {
        level.assessment_id: course.day_zero_s + _NOON_S
        for course in courses
        for level in course.assessments
    }
    file = _CsvFile(folder, ATTEMPTS)
    columns = ("id_assessment", "id_student", "date_submitted", "is_banked", "score")
    for assessment_id, student_id, day, banked, score in file.rows(columns):
        noon = noon_of.get(assessment_id)
        if noon is None:
            what = f"assessment {assessment_id!r} is not in {ASSESSMENTS}"
            raise file.error("id_assessment", what)
        if banked not in ("0", "1"):
            raise file.error("is_banked", f"{banked!r} is neither 0 nor 1")
        yield OuladAttempt(
            file.identifier("id_student", student_id),
            assessment_id,
            file.whole_number("score", score, _MAX_SCORE) if score else None,
            noon + file.whole_number("date_submitted", day) * _DAY_S,
            banked == "1",
        )


def _day_zero_s(presentation: str) -> int:
    """1 October of the year for `J`, 1 February for `B`, as seconds since 1970."""
    month = _DAY_ZERO_MONTH[presentation[4]]
    return int(datetime(int(presentation[:4]), month, 1, tzinfo=UTC).timestamp())


class _CsvFile:
    """One file, read row by row; knows the line it is at, for its errors."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._line = 0

    def rows(self, columns: Sequence[str]) -> Iterator[list[str]]:
        """The named columns of every row, in the order asked for. Empty lines are passed over."""
        self._line = 0
        try:
            with TextIOWrapper(self._open(), encoding="utf-8-sig", newline="") as lines:
                reader = csv.reader(lines, strict=True)
                header = next(reader, [])
                self._line = 1
                places = self._places(header, columns)
                for row in reader:
                    self._line = reader.line_num
                    if len(row) != len(header):
                        if not row:
                            continue
                        what = f"{len(row)} columns where the header has {len(header)}"
                        raise OuladError(f"{self._path}: line {self._line}: {what}")
                    yield [row[place] for place in places]
        except UnicodeDecodeError as error:
            raise OuladError(f"{self._path}: after line {self._line}: not UTF-8 text") from error
        except csv.Error as error:
            raise OuladError(f"{self._path}: after line {self._line}: {error}") from error

    def _places(self, header: list[str], columns: Sequence[str]) -> list[int]:
        missing = [column for column in columns if column not in header]
        if missing:
            noun = "columns" if len(missing) > 1 else "column"
            raise OuladError(f"{self._path}: line 1: no {noun} {', '.join(missing)}")
        return [header.index(column) for column in columns]

    def error(self, column: str, what: str) -> OuladError:
        """What is wrong in this column of the current line."""
        return OuladError(f"{self._path}: line {self._line}: column {column}: {what}")

    def whole_number(self, column: str, text: str, limit: int = _MAX_DAYS) -> int:
        """The text as an int of at most `limit` either side of zero."""
        if not _WHOLE_NUMBER.fullmatch(text):
            raise self.error(column, f"{text!r} is not a whole number")
        number = int(text)
        if not -limit <= number <= limit:
            raise self.error(column, f"{text!r} is out of range")
        return number

    def identifier(self, column: str, text: str) -> str:
        """The text, if it is a number as the data set uses for ids."""
        if not _ID.fullmatch(text):
            raise self.error(column, f"{text!r} is not a numeric id")
        return text

    def course_id(self, module: str, presentation: str) -> str:
        """`AAA-2013J` from its two columns."""
        if not _MODULE.fullmatch(module):
            raise self.error("code_module", f"{module!r} is not a module code")
        if not _PRESENTATION.fullmatch(presentation):
            what = f"{presentation!r} is not a year and J or B, such as 2013J"
            raise self.error("code_presentation", what)
        return f"{module}-{presentation}"

    def _open(self) -> BinaryIO:
        """The file, opened; an OuladError if it cannot be."""
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            raise OuladError(f"{self._path}: no such file") from None
        except OSError as error:
            raise OuladError(f"{self._path}: {error.strerror}") from error
