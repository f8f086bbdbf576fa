"""The users, the course and the scores that the services are filled with; the same every time."""

import random
from collections.abc import Iterator

from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressRequest
from shared.gen.laurel.progress.v1.catalog_pb2 import UNLOCK_MODE_OPEN, Course, Level, Section
from shared.gen.laurel.progress.v1.progress_pb2 import SubmitProgressRequest

COURSE_ID = "bench"
LEVELS = 20
QUESTIONS = 10
OBSERVED_LEVEL = LEVELS - 1
"""Kept for the submissions whose way to the board is timed."""

_BATCH = 1000
_SEED = 20


def user_id(number: int) -> str:
    """The id of a user, numbered from 0."""
    return f"learner-{number:06d}"


def shuffled(users: int, seed: int = _SEED) -> list[int]:
    """The numbers of all users in an arbitrary order."""
    numbers = list(range(users))
    random.Random(seed).shuffle(numbers)
    return numbers


def catalog(users: int) -> Iterator[ImportProgressRequest]:
    """The course, then a profile for every user."""
    yield ImportProgressRequest(courses=[_course()])
    for start in range(0, users, _BATCH):
        message = ImportProgressRequest()
        for number in range(start, min(start + _BATCH, users)):
            message.users.add(
                user_id=user_id(number),
                display_name=f"Learner {number}",
                avatar_url=f"https://cdn.example.org/avatars/{number:06d}.png",
            )
        yield message


def awards(users: int) -> Iterator[ImportProgressRequest]:
    """A score for every user: half of them below 400 XP, a few far above, many alike."""
    scores = random.Random(_SEED)
    for start in range(0, users, _BATCH):
        message = ImportProgressRequest()
        for number in range(start, min(start + _BATCH, users)):
            message.awards.add(
                user_id=user_id(number),
                amount=1 + int(scores.lognormvariate(6, 1)),
                source="challenge",
                request_id=f"award-{number}",
            )
        yield message


def submission(user: int, level: int) -> SubmitProgressRequest:
    """All answers right: a user's first one at a level completes it and is paid."""
    return SubmitProgressRequest(
        user_id=user_id(user),
        level_id=_level_id(level),
        correct_answers=QUESTIONS,
        total_questions=QUESTIONS,
        request_id=f"level-{level}",
    )


def _level_id(level: int) -> str:
    return f"{COURSE_ID}-{level:02d}"


def _course() -> Course:
    levels = [
        Level(
            level_id=_level_id(level),
            title=f"Level {level}",
            xp_reward=50,
            max_marks=100,
            pass_ratio=0.6,
            question_count=QUESTIONS,
        )
        for level in range(LEVELS)
    ]
    section = Section(section_id="all", title="All", levels=levels)
    return Course(
        course_id=COURSE_ID, title="Bench", unlock_mode=UNLOCK_MODE_OPEN, sections=[section]
    )
