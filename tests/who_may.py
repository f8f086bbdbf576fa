"""Who may call what, written by hand from the rules as they are told to people, and a small valid
request of each RPC.

It shares nothing with the contract's own option, so that a rule which is wrong there shows here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import Message
from grpc import StatusCode

from shared.gen.laurel.leaderboard.v1 import admin_pb2 as board_admin
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import admin_pb2 as admin
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as progress
from shared.gen.laurel.types.v1 import types_pb2 as types
from tests.progress import award, level, submission

USER, SERVICE, ADMIN = "user", "service", "admin"
ROLES = (USER, SERVICE, ADMIN)
SELF_AWARDED = "steps"
"""The metric of which users may award themselves a little."""

_PROGRESS = "/laurel.progress.v1."
_BOARDS = "/laurel.leaderboard.v1."


@dataclass(frozen=True)
class Target:
    """What a request is about. "" as the user: the caller itself, where that is meant."""

    user_id: str
    course_id: str
    level_id: str
    attempt_id: str
    entry_id: str
    consistency_token: str


@dataclass(frozen=True)
class Rpc:
    """One RPC's rule."""

    path: str
    role: str
    """The least that may call it."""
    request: Callable[[Target], Message]
    names_user: bool = False
    """A user who names nobody is meant itself."""
    own: bool = False
    """A user may name nobody but itself."""
    public: bool = False
    """Apps call it, through the gateway."""
    answer: StatusCode = StatusCode.OK
    """What a caller gets who may call it, when the target exists."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_of_progress(self) -> bool:
        """Which of the two services has it."""
        return self.path.startswith(_PROGRESS)


def _own(service: str, name: str, request: Callable[[Target], Message], public: bool = True) -> Rpc:
    """A user for itself, a backend for anyone."""
    return Rpc(f"{service}/{name}", USER, request, names_user=True, own=True, public=public)


def _public(
    service: str, name: str, request: Callable[[Target], Message], names_user: bool = False
) -> Rpc:
    """What everyone may see, whomever it is about."""
    return Rpc(f"{service}/{name}", USER, request, names_user=names_user, public=True)


def _backend(service: str, name: str, request: Callable[[Target], Message]) -> Rpc:
    return Rpc(f"{service}/{name}", SERVICE, request)


def _admin(
    service: str,
    name: str,
    request: Callable[[Target], Message],
    answer: StatusCode = StatusCode.OK,
) -> Rpc:
    return Rpc(f"{service}/{name}", ADMIN, request, answer=answer)


def _profile(target: Target) -> catalog.User:
    return catalog.User(user_id=target.user_id, display_name="New")


def _course(target: Target) -> catalog.Course:
    section = catalog.Section(section_id="s", levels=[level(target.level_id)])
    return catalog.Course(course_id=target.course_id, sections=[section])


def _award(target: Target) -> Message:
    return award(target.user_id, 1, metric=SELF_AWARDED)


def _board(target: Target) -> types.Board:
    return types.Board(course_id=target.course_id)


_CATALOG = f"{_PROGRESS}CatalogService"
_catalog = [
    _own(_CATALOG, "PutUser", lambda it: catalog.PutUserRequest(user=_profile(it))),
    _own(_CATALOG, "GetUser", lambda it: catalog.GetUserRequest(user_id=it.user_id)),
    _backend(_CATALOG, "ListUsers", lambda it: catalog.ListUsersRequest(prefix=it.user_id)),
    _admin(
        _CATALOG,
        "PutCourse",
        lambda it: catalog.PutCourseRequest(course=_course(it), validate_only=True),
    ),
    _public(_CATALOG, "GetCourse", lambda it: catalog.GetCourseRequest(course_id=it.course_id)),
    _public(_CATALOG, "ListCourses", lambda _: catalog.ListCoursesRequest()),
    _admin(
        _CATALOG,
        "PutMetric",
        lambda _: catalog.PutMetricRequest(metric=catalog.Metric(metric="new")),
    ),
    _public(_CATALOG, "ListMetrics", lambda _: catalog.ListMetricsRequest()),
    _admin(_CATALOG, "PutAmnestyDay", lambda _: catalog.PutAmnestyDayRequest(date="2026-01-01")),
    _backend(_CATALOG, "ListAmnestyDays", lambda _: catalog.ListAmnestyDaysRequest()),
]

_PROGRESS_SERVICE = f"{_PROGRESS}ProgressService"
_progress = [
    _own(_PROGRESS_SERVICE, "SubmitProgress", lambda it: submission(it.user_id, it.level_id)),
    _admin(
        _PROGRESS_SERVICE,
        "VoidAttempt",
        lambda it: progress.VoidAttemptRequest(attempt_id=it.attempt_id, request_id="void"),
    ),
    _own(
        _PROGRESS_SERVICE,
        "ListAttempts",
        lambda it: progress.ListAttemptsRequest(user_id=it.user_id),
        public=False,
    ),
    _own(_PROGRESS_SERVICE, "AwardXp", _award),
    _admin(
        _PROGRESS_SERVICE,
        "RevokeXp",
        lambda it: progress.RevokeXpRequest(entry_id=it.entry_id, request_id="revoke"),
    ),
    _own(
        _PROGRESS_SERVICE,
        "GetUserStats",
        lambda it: progress.GetUserStatsRequest(user_id=it.user_id),
    ),
    _own(
        _PROGRESS_SERVICE,
        "GetCourseProgress",
        lambda it: progress.GetCourseProgressRequest(user_id=it.user_id, course_id=it.course_id),
    ),
    _backend(
        _PROGRESS_SERVICE,
        "ListCourseProgress",
        lambda it: progress.ListCourseProgressRequest(course_id=it.course_id),
    ),
    _admin(
        _PROGRESS_SERVICE,
        "GrantStreakFreezes",
        lambda it: progress.GrantStreakFreezesRequest(
            user_id=it.user_id, days=1, request_id="freeze"
        ),
    ),
    _own(
        _PROGRESS_SERVICE,
        "ListXpEntries",
        lambda it: progress.ListXpEntriesRequest(user_id=it.user_id),
    ),
    _backend(_PROGRESS_SERVICE, "WatchXpDeltas", lambda _: progress.WatchXpDeltasRequest()),
]

_STANDINGS = f"{_PROGRESS}StandingsService"
_standings = [
    _backend(
        _STANDINGS, "ListStandings", lambda it: progress.ListStandingsRequest(board=_board(it))
    ),
    _backend(
        _STANDINGS,
        "BatchGetStandings",
        lambda it: progress.BatchGetStandingsRequest(user_ids=[it.user_id]),
    ),
    _backend(_STANDINGS, "SnapshotStandings", lambda _: progress.SnapshotStandingsRequest()),
    _backend(
        _STANDINGS,
        "ResolveConsistencyToken",
        lambda it: progress.ResolveConsistencyTokenRequest(consistency_token=it.consistency_token),
    ),
]

_PROGRESS_ADMIN = f"{_PROGRESS}ProgressAdminService"
_progress_admin = [
    _backend(
        _PROGRESS_ADMIN,
        "ImportProgress",
        lambda it: admin.ImportProgressRequest(users=[_profile(it)]),
    ),
    _admin(_PROGRESS_ADMIN, "BackfillTotals", lambda _: admin.BackfillTotalsRequest()),
    _admin(
        _PROGRESS_ADMIN,
        "RecalculateCourse",
        lambda it: admin.RecalculateCourseRequest(course_id=it.course_id),
    ),
    _admin(
        _PROGRESS_ADMIN,
        "ResetWindow",
        lambda it: admin.ResetWindowRequest(board=_board(it), request_id="reset"),
    ),
    _admin(_PROGRESS_ADMIN, "VerifyLedger", lambda _: admin.VerifyLedgerRequest()),
    _admin(_PROGRESS_ADMIN, "ExportUser", lambda it: admin.ExportUserRequest(user_id=it.user_id)),
    _admin(_PROGRESS_ADMIN, "EraseUser", lambda it: admin.EraseUserRequest(user_id=it.user_id)),
    _admin(_PROGRESS_ADMIN, "ListFlaggedAttempts", lambda _: admin.ListFlaggedAttemptsRequest()),
    _admin(
        _PROGRESS_ADMIN,
        "ResolveFlaggedAttempt",
        lambda it: admin.ResolveFlaggedAttemptRequest(attempt_id=it.attempt_id),
        answer=StatusCode.FAILED_PRECONDITION,  # it is not flagged
    ),
    _admin(
        _PROGRESS_ADMIN,
        "ListAdminActions",
        lambda it: admin.ListAdminActionsRequest(user_id=it.user_id),
    ),
    _admin(_PROGRESS_ADMIN, "GetStatus", lambda _: admin.GetStatusRequest()),
]

_LEADERBOARD = f"{_BOARDS}LeaderboardService"
_leaderboard = [
    _public(_LEADERBOARD, "GetTop", lambda it: boards.GetTopRequest(user_id=it.user_id)),
    _public(_LEADERBOARD, "GetRank", lambda it: boards.GetRankRequest(user_id=it.user_id), True),
    _public(
        _LEADERBOARD, "GetAround", lambda it: boards.GetAroundRequest(user_id=it.user_id), True
    ),
    _public(
        _LEADERBOARD,
        "BatchGetRanks",
        lambda it: boards.BatchGetRanksRequest(user_ids=[it.user_id] if it.user_id else []),
    ),
    _public(_LEADERBOARD, "WatchTop", lambda _: boards.WatchTopRequest()),
    _public(
        _LEADERBOARD, "WatchRank", lambda it: boards.WatchRankRequest(user_id=it.user_id), True
    ),
]

_BOARD_ADMIN = f"{_BOARDS}LeaderboardAdminService"
_board_admin = [
    _admin(_BOARD_ADMIN, "GetStatus", lambda _: board_admin.GetStatusRequest()),
    _admin(_BOARD_ADMIN, "RebuildBoards", lambda _: board_admin.RebuildBoardsRequest()),
    _admin(_BOARD_ADMIN, "VerifyBoards", lambda _: board_admin.VerifyBoardsRequest()),
    _admin(_BOARD_ADMIN, "ClearCache", lambda _: board_admin.ClearCacheRequest()),
]

RPCS = (*_catalog, *_progress, *_standings, *_progress_admin, *_leaderboard, *_board_admin)
