"""The rules of the contract and the checks of the domain: what one takes the other takes, at the
edges of every kind of field.

The domain checks imports and what a rule cannot say; BEYOND lists that.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import available_timezones

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard_service.domain import request as asked
from leaderboard_service.domain.board import Board
from progress_service.domain import active_day, amnesty, award, metric, submission, user
from progress_service.domain.course import definition_violations
from progress_service.servicers import codec, list_token
from progress_service.servicers.admin_codec import reset_of
from progress_service.servicers.board_codec import board_of
from progress_service.servicers.catalog_codec import amnesty_day_of, course_of, metric_of, user_of
from progress_service.servicers.commands import award_of, revocation_of, submission_of, void_of
from progress_service.servicers.progress import _attempt_filter as attempt_filter
from progress_service.servicers.standings_codec import floors_of, rank_mode_of
from progress_service.servicers.stats_codec import freezes_of
from shared import page_token, write_token
from shared.errors import InvalidInput, invalid_fields
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import admin_pb2 as admin
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as progress
from shared.gen.laurel.types.v1 import types_pb2
from shared.validation import check
from tests.rule_edges import Place, any_value, changed, edges, places
from tests.signing import SIGNER

GOOGLE = {"Timestamp", "Duration"}
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()

# What the domain alone says, since it takes more than the field's own value...
BEYOND = [
    "must be 0 to total_questions",
    # ...the clock,
    "must not be more than 5 minutes ahead",
    "must be 2000-01-01 to today",
    # ...the calendar, or Python's: RE2 can tell a date by its form,
    "is not a time",
    "is not in the calendar",
    'must be a date like "2026-11-20"',
    "must be 2000-01-01 to 2100-12-31",
    # ...the parts of a time that is none, which Protovalidate adds up,
    "must have nanos of 0 to 999,999,999",
    "is not a duration: see its nanos",
    # ...the host of a URL, and the zones of this machine,
    "must be an https URL of at most 512 characters",
    'must be an IANA time zone such as "Asia/Jakarta"',
    # ...the secret that tokens are signed with,
    "is not (a page token of this service|of this list|the token of a write)",
    # ...or other fields and items.
    "for (ALL_TIME|YEAR|MONTH|WEEK|DAY)$",
    "WINDOW_ALL_TIME",
    "must hold 1 to 5000 levels",
    "cycle: ",
    "occurs twice|must occur once|names a level twice",
    "requires itself|is not a level of this course",
]

# Sizes of lists that the domain does not look at: there each item counts once, or is looked up.
BOUNDED_BY_RULES = {"windows", "rewards", "boards", "also_boards"}


def _course(request: catalog.PutCourseRequest) -> None:
    found = definition_violations(course_of(request.course))
    if found:
        raise invalid_fields(found)


def _active_day(day: admin.ActiveDay) -> None:
    user_id = codec.required_id(day.user_id, "user_id")
    active_day.check(active_day.ActiveDay(user_id, codec.civil_date(day.date, "date")), NOW)


def _list_attempts(request: progress.ListAttemptsRequest) -> None:
    attempt_filter(request)
    codec.page_size(request.page_size)
    list_token.decode(SIGNER, request.page_token, "attempts", ())


def _standings(request: progress.ListStandingsRequest) -> None:
    board_of(request.board, "board", TODAY)
    rank_mode_of(request.rank_mode)
    codec.page_size(request.page_size)
    for n, one in enumerate(request.also_boards):
        board_of(one, f"also_boards[{n}]", TODAY)
    for field in ("around_user_id", "user_id"):
        if getattr(request, field):
            codec.required_id(getattr(request, field), field)
    if request.page_token:
        page_token.decode(SIGNER, request.page_token, "xp", 1)


def _snapshot(request: progress.SnapshotStandingsRequest) -> None:
    for n, one in enumerate(request.boards):
        board_of(one, f"boards[{n}]", TODAY)
    floors_of(request.floors)


def _board(board: types_pb2.Board) -> Board:
    return asked.resolve_board(board.metric, board.course_id, board.window, board.period, TODAY)


def _top(request: boards.GetTopRequest) -> None:
    board, mode = _board(request.board), asked.rank_mode(request.rank_mode)
    asked.coerce_size(request.page_size, 50, 500, "page_size")
    asked.page_after(SIGNER, request.page_token, board, mode)
    asked.also_boards(request.also_windows, board, TODAY)
    if request.user_id:
        asked.check_user_id(request.user_id)
    if request.consistency_token:
        write_token.decode(SIGNER, request.consistency_token)


def _batch(request: boards.BatchGetRanksRequest) -> None:
    _board(request.board)
    asked.rank_mode(request.rank_mode)
    asked.check_batch(request.user_ids)
    if request.consistency_token:
        write_token.decode(SIGNER, request.consistency_token)


BOARD = types_pb2.Board(metric="xp", course_id="c", window=types_pb2.WINDOW_YEAR, period="2026")
WHEN = Timestamp(seconds=1_763_000_000)
CASES: list[tuple[Message, Callable[[Any], object]]] = [
    (
        progress.SubmitProgressRequest(
            user_id="a",
            level_id="l",
            correct_answers=1,
            total_questions=2,
            time_spent=Duration(seconds=1),
            request_id="r",
            occurred_time=WHEN,
        ),
        lambda one: submission.check_request(submission_of(one), NOW),
    ),
    (
        progress.AwardXpRequest(
            user_id="a", amount=1, source="s", request_id="r", occurred_time=WHEN
        ),
        lambda one: award.check_request(award_of(one), NOW),
    ),
    (progress.VoidAttemptRequest(attempt_id="1", request_id="r"), void_of),
    (progress.RevokeXpRequest(entry_id="1", request_id="r"), revocation_of),
    (progress.GrantStreakFreezesRequest(user_id="a", days=1, request_id="r"), freezes_of),
    (progress.ListAttemptsRequest(user_id="a", course_id="c"), _list_attempts),
    (progress.ListStandingsRequest(board=BOARD, also_boards=[BOARD]), _standings),
    (
        progress.SnapshotStandingsRequest(
            boards=[BOARD],
            floors=[progress.PeriodFloor(window=types_pb2.WINDOW_YEAR, first_period="2026")],
        ),
        _snapshot,
    ),
    (
        catalog.PutUserRequest(user=catalog.User(user_id="a")),
        lambda one: user.check(user_of(one.user)),
    ),
    (
        catalog.PutCourseRequest(
            course=catalog.Course(
                course_id="c",
                sections=[
                    catalog.Section(
                        section_id="s",
                        levels=[
                            catalog.Level(
                                level_id="l",
                                min_time_spent=Duration(),
                                prerequisite_level_ids=["m"],
                                rewards=[catalog.MetricReward(metric="steps", amount=1)],
                            ),
                            catalog.Level(level_id="m"),
                        ],
                    )
                ],
            )
        ),
        _course,
    ),
    (
        catalog.PutMetricRequest(
            metric=catalog.Metric(metric="m", windows=[types_pb2.WINDOW_ALL_TIME])
        ),
        lambda one: metric.check(metric_of(one.metric)),
    ),
    (
        catalog.PutAmnestyDayRequest(date="2026-11-20"),
        lambda one: amnesty.check(amnesty_day_of(one)),
    ),
    (admin.ActiveDay(user_id="a", date="2026-11-20"), _active_day),
    (admin.ResetWindowRequest(board=BOARD, request_id="r"), lambda one: reset_of(one, TODAY)),
    (
        boards.GetTopRequest(board=BOARD, also_windows=[types_pb2.WINDOW_DAY]),
        _top,
    ),
    (boards.BatchGetRanksRequest(board=BOARD, user_ids=["a"]), _batch),
]
ALL = pytest.mark.parametrize(
    ("right", "by_domain"), [pytest.param(*one, id=type(one[0]).__name__) for one in CASES]
)


def refusal(look: Callable[[Any], object], request: Message) -> InvalidInput | None:
    try:
        look(request)
    except InvalidInput as error:
        return error
    return None


def fields(error: InvalidInput) -> set[str]:
    """Without the number of an item, which the domain does not always name."""
    return {re.sub(r"\[[0-9]+]$", "", one.field) for one in error.violations}


def agree(request: Message, place: Place, by_domain: Callable[[Any], object]) -> None:
    by_rules, there = refusal(check, request), refusal(by_domain, request)
    if by_rules is None:
        for one in there.violations if there else ():
            assert any(re.search(text, one.description) for text in BEYOND), one
    elif there is None:
        assert "must hold " in by_rules.message
        assert place.field.name in BOUNDED_BY_RULES
    else:
        assert by_rules.reason == there.reason
        # The domain looks into a message that is not set.
        assert any(one.startswith(tuple(fields(by_rules))) for one in fields(there))


@ALL
def test_rules_and_domain_agree_at_the_edges(
    right: Message, by_domain: Callable[[Any], object]
) -> None:
    assert refusal(check, right) is None
    assert refusal(by_domain, right) is None
    for place in places(right):
        for value in edges(right, place):
            agree(changed(right, place, value), place, by_domain)


@ALL
@given(data=st.data())
@settings(max_examples=100)
def test_rules_and_domain_agree_about_any_value(
    right: Message, by_domain: Callable[[Any], object], data: st.DataObject
) -> None:
    drawable = [
        one
        for one in places(right)
        if not one.field.is_repeated
        and (one.field.message_type is None or one.field.message_type.name in GOOGLE)
    ]
    place = data.draw(st.sampled_from(drawable))
    value = data.draw(any_value(place.field))
    agree(changed(right, place, value), place, by_domain)


@given(st.lists(st.text(max_size=60) | st.integers(), max_size=6))
def test_every_token_that_is_given_is_taken(parts: list[object]) -> None:
    token = SIGNER.sign("any", parts)
    check(boards.GetTopRequest(page_token=token, consistency_token=token))
    check(progress.ResolveConsistencyTokenRequest(consistency_token=token))
    check(progress.ListXpEntriesRequest(user_id="a", page_token=token))


def test_every_time_zone_is_taken() -> None:
    for zone in available_timezones():
        check(catalog.PutUserRequest(user=catalog.User(user_id="a", time_zone=zone)))


def test_every_id_that_the_service_gives_is_taken() -> None:
    for number in (1, 2**53, 10**18 - 1):
        check(progress.VoidAttemptRequest(attempt_id=str(number), request_id="r"))
    check(progress.WatchXpDeltasRequest(after=types_pb2.Position(epoch=str(uuid4()), sequence=1)))
