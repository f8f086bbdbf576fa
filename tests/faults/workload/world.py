"""What the clients of a run speak of: users, courses, boards; the same in every run."""

import random
from datetime import date, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window, period_of

USERS = tuple(f"u{number:02d}" for number in range(24))
ERASABLE = tuple(f"e{number}" for number in range(4))
"""Users who are erased now and then, and come back; what is asked about them is no different."""
PEOPLE = USERS + ERASABLE
METRICS = ("xp", "xp", "xp", "marks", "problems_solved", "pomodoros")
AWARDED = ("xp", "xp", "xp", "problems_solved", "pomodoros")
COURSES = ("", "", "c", "d")
OPEN_LEVELS = tuple(f"c{number}" for number in range(16))
CHAIN_LEVELS = tuple(f"d{number}" for number in range(8))
"""Each is locked until the one before is completed."""
HIDDEN = USERS[::8]
"""Who is hidden from the beginning, so that whatever happens first happens to hidden users too."""
WATCHFUL_LEVEL = "c0"
"""A quicker attempt than a second is put under review."""
LEVELS = OPEN_LEVELS + CHAIN_LEVELS
DAYS_AGO = (0, 0, 0, 0, 1, 3, 20, 60, 400)
MODES = (
    types_pb2.RANK_MODE_UNSPECIFIED,
    types_pb2.RANK_MODE_COMPETITION,
    types_pb2.RANK_MODE_DENSE,
    types_pb2.RANK_MODE_ORDINAL,
)

ALSO_WINDOWS: tuple[tuple[types_pb2.Window.ValueType, ...], ...] = (
    (),
    (),
    (types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_DAY),
    (types_pb2.WINDOW_MONTH,),
)


def user(user_id: str, name: str = "", *, hidden: bool = False) -> catalog_pb2.PutUserRequest:
    """A profile whose picture changes with the name."""
    shown = name or user_id.title()
    picture = f"https://pictures.example/{shown}"
    profile = catalog_pb2.User(
        user_id=user_id, display_name=shown, avatar_url=picture, hidden=hidden
    )
    return catalog_pb2.PutUserRequest(user=profile)


def _level(level_id: str) -> catalog_pb2.Level:
    number = int(level_id[1:])
    reward = catalog_pb2.MetricReward(metric="problems_solved", amount=1 + number % 3)
    return catalog_pb2.Level(
        level_id=level_id,
        xp_reward=50 + number,
        max_marks=100,
        pass_ratio=0.5,
        rewards=[reward] if number % 2 else [],
        min_time_spent=Duration(seconds=1) if level_id == WATCHFUL_LEVEL else None,
    )


def course(
    course_id: str, levels: tuple[str, ...], mode: catalog_pb2.UnlockMode.ValueType
) -> catalog_pb2.PutCourseRequest:
    """One section with these levels."""
    section = catalog_pb2.Section(section_id="s", levels=[_level(one) for one in levels])
    made = catalog_pb2.Course(course_id=course_id, unlock_mode=mode, sections=[section])
    return catalog_pb2.PutCourseRequest(course=made)


def founding() -> list[tuple[str, Message]]:
    """The calls, in any order, that make the world."""
    courses = [
        course("c", OPEN_LEVELS, catalog_pb2.UNLOCK_MODE_OPEN),
        course("d", CHAIN_LEVELS, catalog_pb2.UNLOCK_MODE_SEQUENTIAL),
    ]
    return [
        *(("CatalogService/PutCourse", one) for one in courses),
        *(("CatalogService/PutUser", user(one, hidden=one in HIDDEN)) for one in PEOPLE),
    ]


def board(chance: random.Random, today: date) -> types_pb2.Board:
    """Any board; its period is left out, the present one, or one of long ago."""
    window = chance.choice(list(Window))
    period = ""
    if chance.random() < 0.5:
        period = period_of(window, today - timedelta(days=chance.choice(DAYS_AGO)))
    return types_pb2.Board(
        metric=chance.choice(METRICS),
        course_id=chance.choice(COURSES),
        window=types_pb2.Window.ValueType(window),
        period=period,
    )


def every_board(today: date) -> list[types_pb2.Board]:
    """The boards of the days on which anything counts, each once."""
    found = {
        (metric, course_id, window, period_of(window, today - timedelta(days=days)))
        for metric in set(METRICS)
        for course_id in set(COURSES)
        for window in (Window if metric != "marks" else [Window.ALL_TIME])
        for days in set(DAYS_AGO)
    }
    return [
        types_pb2.Board(
            metric=metric,
            course_id=course_id,
            window=types_pb2.Window.ValueType(window),
            period=period,
        )
        for metric, course_id, window, period in sorted(found)
    ]
