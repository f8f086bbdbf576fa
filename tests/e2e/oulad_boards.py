"""Reads boards to their end, as clients do, and holds them against the independent computation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import catalog_pb2, progress_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import (
    ProgressServiceStub,
    StandingsServiceStub,
)
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import open_channel
from tests.e2e.oulad_expected import BoardKey, Expected, Row

PAGE_SIZE = 500
IN_FLIGHT = 4
CALL_TIMEOUT_S = 30
SNAPSHOT_TIMEOUT_S = 90

REDIS = leaderboard_pb2.SOURCE_REDIS
POSTGRESQL = leaderboard_pb2.SOURCE_POSTGRESQL


class ReadBoard(NamedTuple):
    """A board as its pages gave it. StandingsService names no source: it has but one."""

    rows: list[Row]
    names: dict[str, str]
    totals: set[int]
    sequences: set[int]
    sources: set[leaderboard_pb2.Source.ValueType]


Reader = Callable[[BoardKey], Awaitable[ReadBoard]]


def message_of(key: BoardKey) -> types_pb2.Board:
    """The board in the contract's words."""
    return types_pb2.Board(
        metric=key.metric,
        course_id=key.course,
        window=types_pb2.Window.Value(f"WINDOW_{key.window}"),
        period=key.period,
    )


async def read_with_get_top(address: str, key: BoardKey) -> ReadBoard:
    """Every page of LeaderboardService.GetTop."""
    board = ReadBoard([], {}, set(), set(), set())
    request = leaderboard_pb2.GetTopRequest(board=message_of(key), page_size=PAGE_SIZE)
    async with open_channel(address) as channel:
        stub = LeaderboardServiceStub(channel)
        while True:
            answer = await stub.GetTop(request, timeout=CALL_TIMEOUT_S)
            for entry in answer.entries:
                board.rows.append(Row(entry.rank, entry.user_id, entry.score))
                board.names[entry.user_id] = entry.display_name
            board.totals.add(answer.state.total_users)
            board.sequences.add(answer.state.position.sequence)
            board.sources.add(answer.state.source)
            assert answer.state.board == message_of(key)
            if not answer.next_page_token:
                return board
            request.page_token = answer.next_page_token


async def read_with_list_standings(address: str, key: BoardKey) -> ReadBoard:
    """Every page of StandingsService.ListStandings."""
    board = ReadBoard([], {}, set(), set(), set())
    request = progress_pb2.ListStandingsRequest(board=message_of(key), page_size=PAGE_SIZE)
    async with open_channel(address) as channel:
        stub = StandingsServiceStub(channel)
        while True:
            answer = await stub.ListStandings(request, timeout=CALL_TIMEOUT_S)
            for standing in answer.standings:
                board.rows.append(Row(standing.rank, standing.user_id, standing.score))
                board.names[standing.user_id] = standing.display_name
            board.totals.add(answer.total_users)
            board.sequences.add(answer.position.sequence)
            if not answer.next_page_token:
                return board
            request.page_token = answer.next_page_token


async def assert_boards(
    read: Reader, keys: Iterable[BoardKey], right: Expected, *, head: int
) -> None:
    """Hold every board, as read at the position `head`, against the computation."""
    room = asyncio.Semaphore(IN_FLIGHT)

    async def check(key: BoardKey) -> None:
        async with room:
            board = await read(key)
        table = right.table(key)
        assert board.rows == table, key
        assert board.totals == {len(table)}, key
        assert board.sequences == {head}, key
        assert board.names == {row.user: f"Student {row.user}" for row in table}, key
        # Redis keeps the boards of all time, and no week, month or year that long past.
        if board.sources:
            assert board.sources == {REDIS if key.window == "ALL_TIME" else POSTGRESQL}, key

    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(check(key))


async def read_learners(address: str) -> dict[tuple[str, str], tuple[int, int]]:
    """By course and user the levels completed and the marks, of everyone with an attempt."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    async with open_channel(address) as channel:
        courses = await CatalogServiceStub(channel).ListCourses(
            catalog_pb2.ListCoursesRequest(page_size=PAGE_SIZE), timeout=CALL_TIMEOUT_S
        )
        stub = ProgressServiceStub(channel)
        for course in courses.courses:
            request = progress_pb2.ListCourseProgressRequest(
                course_id=course.course_id, page_size=PAGE_SIZE
            )
            while True:
                page = await stub.ListCourseProgress(request, timeout=CALL_TIMEOUT_S)
                for one in page.learners:
                    key = (course.course_id, one.user_id)
                    found[key] = (one.course.levels_completed, one.course.marks)
                request.page_token = page.next_page_token
                if not request.page_token:
                    break
    return found


async def read_levels(
    address: str, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, tuple[int, bool, int]]]:
    """Of each course and user, by level tried: best marks, whether completed, attempts."""
    found = {}
    async with open_channel(address) as channel:
        stub = ProgressServiceStub(channel)
        for course_id, user_id in keys:
            request = progress_pb2.GetCourseProgressRequest(course_id=course_id, user_id=user_id)
            answer = await stub.GetCourseProgress(request, timeout=CALL_TIMEOUT_S)
            found[course_id, user_id] = {
                one.level_id: (
                    one.best_marks,
                    one.status == progress_pb2.LEVEL_STATUS_COMPLETED,
                    one.attempts,
                )
                for one in answer.levels
                if one.attempts
            }
    return found


async def read_snapshot(address: str) -> tuple[set[str], dict[BoardKey, dict[str, int]], int]:
    """All profiles and all standings of PostgreSQL, and the position that they are of."""
    users: set[str] = set()
    boards: dict[BoardKey, dict[str, int]] = {}
    async with open_channel(address, own_connection=True) as channel:
        request = progress_pb2.SnapshotStandingsRequest()
        stub = StandingsServiceStub(channel)
        message = progress_pb2.SnapshotStandingsResponse()
        async for message in stub.SnapshotStandings(request, timeout=SNAPSHOT_TIMEOUT_S):
            users.update(profile.user_id for profile in message.profiles)
            if message.standings:
                about = message.board
                window = types_pb2.Window.Name(about.window).removeprefix("WINDOW_")
                key = BoardKey(about.metric, about.course_id, window, about.period)
                scores = boards.setdefault(key, {})
                scores.update((each.user_id, each.score) for each in message.standings)
    assert message.complete, "the snapshot was cut short"
    return users, boards, message.position.sequence


def assert_snapshot(boards: dict[BoardKey, dict[str, int]], right: Expected) -> None:
    """Every board that there is, and no other, with the scores of the computation."""
    above_zero = {
        key: {user: score for user, score in scores.items() if score}
        for key, scores in boards.items()
    }
    found = {key for key, scores in above_zero.items() if scores}
    assert found == set(right.boards())
    for key in found:
        scores = {user: score for user, score in right.scores[key].items() if score}
        assert above_zero[key] == scores, key
