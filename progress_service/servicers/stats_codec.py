"""A user's figures and freezes as the contract's messages."""

from datetime import datetime
from zoneinfo import ZoneInfo

from progress_service.domain import bounds, streak
from progress_service.domain.submission import request_id_violations
from progress_service.servicers import codec
from progress_service.store.freezes import Freezes
from progress_service.store.stats import UserStats
from progress_service.store.zones import zone_of
from shared.caller import actor
from shared.errors import FieldViolation, invalid_fields
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.periods import Window


def freezes_of(request: pb.GrantStreakFreezesRequest) -> Freezes:
    """The request; InvalidInput when it is malformed."""
    violations = [*request_id_violations(request.request_id)]
    if not bounds.is_id(request.user_id):
        violations.append(FieldViolation("user_id", f"must be {bounds.ID_FORM}"))
    if not 1 <= request.days <= bounds.MAX_GRANT_DAYS:
        violations.append(FieldViolation("days", f"must be 1 to {bounds.MAX_GRANT_DAYS}"))
    if violations:
        raise invalid_fields(violations)
    return Freezes(request.user_id, request.days, request.request_id, actor())


def stats_message(found: UserStats, now: datetime, deployment: ZoneInfo) -> pb.GetUserStatsResponse:
    """The figures as of `now`."""
    learner = found.learner
    today = streak.civil_day(now, zone_of(learner.time_zone, deployment))
    present = streak.streak_of(learner.runs, found.amnesty, learner.grants, today)
    last_active = streak.last_active(learner.runs)
    return pb.GetUserStatsResponse(
        user_id=learner.user_id,
        metrics=[
            pb.MetricStats(
                metric=metric,
                all_time=scores.get(Window.ALL_TIME, 0),
                year=scores.get(Window.YEAR, 0),
                month=scores.get(Window.MONTH, 0),
                week=scores.get(Window.WEEK, 0),
                day=scores.get(Window.DAY, 0),
            )
            for metric, scores in sorted(found.totals.items())
        ],
        streak_days=present.days,
        longest_streak_days=present.longest_days,
        last_active_date=last_active.isoformat() if last_active else "",
        levels_completed=found.levels_completed,
        update_time=codec.timestamp(found.update_time),
        streak_freezes=present.freezes,
        position=codec.position_message(found.head.position),
    )
