"""The messages that carry OULAD into ProgressService, by the data set's fixed mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from shared.cli import oulad
from shared.cli.oulad import Assessment, OuladAttempt, OuladCourse
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressRequest

T = TypeVar("T")

QUESTION_COUNT = 100
PASS_RATIO = 0.4
XP_REWARD = {"TMA": 50, "CMA": 20, "Exam": 100}

MAX_ITEMS = 1000
"""The most items that one message may carry."""


def import_requests(
    folder: Path, *, batch: int, dry_run: bool = False
) -> Iterator[ImportProgressRequest]:
    """Courses, then users, then attempts in batches of `batch`; the files are read as it goes.

    Raises OuladError where a file does not read as described.
    """
    courses = oulad.read_courses(folder)
    for number, some in enumerate(_chunks(courses, MAX_ITEMS)):
        messages = [course_message(course) for course in some]
        yield ImportProgressRequest(courses=messages, dry_run=dry_run and number == 0)
    for students in _chunks(oulad.read_students(folder), MAX_ITEMS):
        yield ImportProgressRequest(users=[user_message(student) for student in students])
    attempts = oulad.read_attempts(folder, courses)
    while some_attempts := list(islice(attempts, batch)):
        yield attempts_message(some_attempts)


def course_message(course: OuladCourse) -> catalog_pb2.Course:
    """A course of open levels, with a section for each type of assessment that it has."""
    return catalog_pb2.Course(
        course_id=course.course_id,
        title=course.course_id,
        unlock_mode=catalog_pb2.UNLOCK_MODE_OPEN,
        sections=[
            catalog_pb2.Section(
                section_id=kind, title=kind, levels=[_level_message(level) for level in levels]
            )
            for kind, levels in groupby(course.assessments, attrgetter("kind"))
        ],
    )


def _level_message(level: Assessment) -> catalog_pb2.Level:
    return catalog_pb2.Level(
        level_id=level.assessment_id,
        title=f"{level.kind} {level.assessment_id}",
        xp_reward=XP_REWARD[level.kind],
        max_marks=QUESTION_COUNT,
        pass_ratio=PASS_RATIO,
        question_count=QUESTION_COUNT,
    )


def user_message(student_id: str) -> catalog_pb2.User:
    """The profile of a student."""
    return catalog_pb2.User(user_id=student_id, display_name=f"Student {student_id}")


def attempts_message(attempts: Iterable[OuladAttempt]) -> ImportProgressRequest:
    """A batch of attempts. A blank score leaves correct_answers unset.

    Fields are set in place, on messages that are already part of the batch: a third of the time
    that building each from a constructor takes, and the servers share the processors.
    """
    message = ImportProgressRequest()
    add = message.attempts.add
    for student_id, assessment_id, score, occurred_s, banked in attempts:
        item = add()
        if banked:
            item.without_xp = True
        attempt = item.attempt
        attempt.user_id = student_id
        attempt.level_id = assessment_id
        if score is not None:
            attempt.correct_answers = score
        attempt.total_questions = QUESTION_COUNT
        attempt.request_id = f"oulad:{student_id}:{assessment_id}"
        attempt.occurred_time.seconds = occurred_s
    return message


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
