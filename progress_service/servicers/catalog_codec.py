"""Users, courses, metrics and amnesty days: protobuf to domain and back."""

from progress_service.domain.amnesty import AmnestyDay
from progress_service.domain.course import Course, Level, Reward, Section, UnlockMode
from progress_service.domain.metric import Metric
from progress_service.domain.user import User
from progress_service.servicers.codec import civil_date, duration, milliseconds
from progress_service.store.course_edits import CourseEdit
from shared.errors import invalid_field
from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window


def user_of(message: pb.User) -> User:
    """The domain's user, unchecked."""
    return User(
        user_id=message.user_id,
        display_name=message.display_name,
        avatar_url=message.avatar_url,
        time_zone=message.time_zone,
        hidden=message.hidden,
    )


def user_message(user: User) -> pb.User:
    """The inverse of `user_of`."""
    return pb.User(
        user_id=user.user_id,
        display_name=user.display_name,
        avatar_url=user.avatar_url,
        time_zone=user.time_zone,
        hidden=user.hidden,
    )


def course_of(message: pb.Course) -> Course:
    """The domain's course, unchecked but for unlock_mode and durations; `version` is ignored."""
    mode = message.unlock_mode or pb.UNLOCK_MODE_SEQUENTIAL
    try:
        unlock_mode = UnlockMode(mode)
    except ValueError:
        raise invalid_field("course.unlock_mode", f"{mode} is not an unlock mode") from None
    return Course(
        course_id=message.course_id,
        title=message.title,
        unlock_mode=unlock_mode,
        archived=message.archived,
        sections=tuple(
            Section(
                section_id=section.section_id,
                title=section.title,
                levels=tuple(
                    _level_of(level, f"course.sections[{s}].levels[{n}]")
                    for n, level in enumerate(section.levels)
                ),
            )
            for s, section in enumerate(message.sections)
        ),
    )


def _level_of(message: pb.Level, path: str) -> Level:
    return Level(
        level_id=message.level_id,
        title=message.title,
        xp_reward=message.xp_reward,
        max_marks=message.max_marks,
        pass_ratio=message.pass_ratio,
        prerequisites=tuple(message.prerequisite_level_ids),
        question_count=message.question_count,
        min_time_spent_ms=milliseconds(message.min_time_spent, f"{path}.min_time_spent"),
        rewards=tuple(Reward(reward.metric, reward.amount) for reward in message.rewards),
    )


def course_message(course: Course) -> pb.Course:
    """The inverse of `course_of`, with the version."""
    return pb.Course(
        course_id=course.course_id,
        title=course.title,
        version=course.version,
        unlock_mode=pb.UnlockMode.ValueType(course.unlock_mode),
        archived=course.archived,
        sections=[
            pb.Section(
                section_id=section.section_id,
                title=section.title,
                levels=[_level_message(level) for level in section.levels],
            )
            for section in course.sections
        ],
    )


def put_course_response(edit: CourseEdit) -> pb.PutCourseResponse:
    """What an edit stores, or would, and whom it touches."""
    touched = edit.touched
    return pb.PutCourseResponse(
        course=course_message(edit.course),
        users_affected=touched.users_affected,
        users_newly_locked=touched.users_newly_locked,
        users_newly_unlocked=touched.users_newly_unlocked,
        users_completion_changed=touched.users_completion_changed,
    )


def _level_message(level: Level) -> pb.Level:
    message = pb.Level(
        level_id=level.level_id,
        title=level.title,
        xp_reward=level.xp_reward,
        max_marks=level.max_marks,
        pass_ratio=level.pass_ratio,
        prerequisite_level_ids=level.prerequisites,
        question_count=level.question_count,
        rewards=[pb.MetricReward(metric=r.metric, amount=r.amount) for r in level.rewards],
    )
    if level.min_time_spent_ms:
        message.min_time_spent.CopyFrom(duration(level.min_time_spent_ms))
    return message


def metric_of(message: pb.Metric) -> Metric:
    """The domain's metric, unchecked but for its windows."""
    try:
        windows = frozenset(Window(window or Window.ALL_TIME) for window in message.windows)
    except ValueError:
        raise invalid_field("metric.windows", "holds a number that is no window") from None
    return Metric(
        metric=message.metric,
        title=message.title,
        unit=message.unit,
        windows=windows,
        max_self_award=message.max_self_award,
    )


def metric_message(metric: Metric) -> pb.Metric:
    """The inverse of `metric_of`."""
    return pb.Metric(
        metric=metric.metric,
        title=metric.title,
        unit=metric.unit,
        windows=[types_pb2.Window.ValueType(window) for window in sorted(metric.windows)],
        max_self_award=metric.max_self_award,
    )


def amnesty_day_of(request: pb.PutAmnestyDayRequest) -> AmnestyDay:
    """The domain's amnesty day; only the date's form is checked here."""
    return AmnestyDay(civil_date(request.date, "date"), request.reason)


def amnesty_day_message(amnesty_day: AmnestyDay) -> pb.AmnestyDay:
    """An amnesty day for the wire."""
    return pb.AmnestyDay(date=amnesty_day.day.isoformat(), reason=amnesty_day.reason)
