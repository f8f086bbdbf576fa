"""The RPCs of LeaderboardService, from Redis and from PostgreSQL: the same answers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
import pytest
from grpc import aio

from shared.errors import LaurelError
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import error_from_rpc
from tests.leaderboard_app import POSTGRESQL, REDIS, Client, direct, live_client
from tests.leaderboard_model import around
from tests.leaderboard_peer import Peer

SCORES = {"ann": 50, "bob": 50, "cat": 30, "dan": 30, "eve": 10, "f": 7, "g": 7, "h": 1}
ALL_TIME = "xp//all_time/"


async def _filled() -> Peer:
    peer = Peer()
    for user, score in SCORES.items():
        await peer.profile(user, name=user.title() if len(user) > 1 else "")
        await peer.credit(user, score, course_id="c")
    await peer.profile("ghost", hidden=True)
    await peer.credit("ghost", 99)
    return peer


@pytest.fixture(params=[REDIS, POSTGRESQL], ids=["redis", "postgresql"])
async def client(
    request: pytest.FixtureRequest, redis_url: str
) -> AsyncIterator[tuple[Client, int]]:
    """A service whose answers come from the one store, or from the other."""
    async with live_client(redis_url, await _filled()) as found, direct(redis_url) as redis:
        if request.param == POSTGRESQL:
            # Redis has lost its boards, and they cannot be rebuilt.
            found.peer.cut_snapshots = 10**6
            await redis.flushdb()
        yield found, request.param


def _rows(entries: object) -> list[tuple[int, str, int, str]]:
    return [(e.rank, e.user_id, e.score, e.display_name) for e in entries]  # type: ignore[attr-defined]


def _expected(client: Client, name: str = ALL_TIME) -> list[tuple[int, str, int, str]]:
    return [(e.rank, e.user_id, e.score, e.display_name) for e in client.peer.board(name)]


async def test_equal_scores_share_a_rank_across_pages(client: tuple[Client, int]) -> None:
    found, source = client
    rows, token = [], ""
    for _ in range(3):
        page = await found.boards.GetTop(pb.GetTopRequest(page_size=3, page_token=token))
        assert page.state.source == source
        rows += _rows(page.entries)
        token = page.next_page_token
    assert rows == _expected(found)
    assert [row[0] for row in rows] == [1, 1, 3, 3, 5, 6, 6, 8]
    assert token == ""


async def test_a_list_begun_on_one_store_goes_on_on_the_other(redis_url: str) -> None:
    async with live_client(redis_url, await _filled()) as found, direct(redis_url) as redis:
        first = await found.boards.GetTop(pb.GetTopRequest(page_size=3))
        assert first.state.source == REDIS
        found.peer.cut_snapshots = 10**6
        await redis.flushdb()
        token = first.next_page_token
        second = await found.boards.GetTop(pb.GetTopRequest(page_size=3, page_token=token))
        assert second.state.source == POSTGRESQL
        assert _rows([*first.entries, *second.entries]) == _expected(found)[:6]
        found.peer.cut_snapshots = 0
        await found.live()
        token = second.next_page_token
        third = await found.boards.GetTop(pb.GetTopRequest(page_size=3, page_token=token))
        assert third.state.source == REDIS
        assert _rows(third.entries) == _expected(found)[6:]


async def test_the_top_comes_with_the_callers_own_entry(client: tuple[Client, int]) -> None:
    found, _ = client
    top = await found.boards.GetTop(pb.GetTopRequest(page_size=2, user_id="g"))
    assert (top.user_entry.rank, top.user_entry.score) == (6, 7)
    for user in ("nobody", "ghost"):
        top = await found.boards.GetTop(pb.GetTopRequest(page_size=2, user_id=user))
        assert not top.HasField("user_entry")


async def test_a_rank_says_how_many_are_below_and_what_is_missing(
    client: tuple[Client, int],
) -> None:
    found, source = client
    answer = await found.boards.GetRank(pb.GetRankRequest(user_id="cat"))
    assert (answer.entry.rank, answer.entry.score, answer.entry.display_name) == (3, 30, "Cat")
    assert answer.percentile == 50.0
    assert answer.score_to_next_rank == 20
    assert answer.state.source == source
    leader = await found.boards.GetRank(pb.GetRankRequest(user_id="bob"))
    assert (leader.entry.rank, leader.score_to_next_rank) == (1, 0)
    nobody = await found.boards.GetRank(pb.GetRankRequest(user_id="nobody"))
    assert not nobody.HasField("entry")
    assert nobody.state.total_users == 8


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 20])
async def test_around_has_the_user_in_the_middle_or_as_near_as_the_ends_allow(
    client: tuple[Client, int], count: int
) -> None:
    found, source = client
    for user in [*SCORES, "nobody", "ghost"]:
        near = await found.boards.GetAround(pb.GetAroundRequest(user_id=user, count=count))
        expected = around(found.peer.board(ALL_TIME), user, count)
        assert [e.user_id for e in near.entries] == [e.user_id for e in expected]
        assert [e.rank for e in near.entries] == [e.rank for e in expected]
        assert near.state.source == source


async def test_a_batch_names_those_who_are_not_on_the_board(client: tuple[Client, int]) -> None:
    found, _ = client
    asked = ["h", "ghost", "ann", "nobody", "ann", "eve"]
    answer = await found.boards.BatchGetRanks(pb.BatchGetRanksRequest(user_ids=asked))
    assert _rows(answer.entries) == [
        (1, "ann", 50, "Ann"),
        (5, "eve", 10, "Eve"),
        (8, "h", 1, "h"),
    ]
    assert answer.unranked_user_ids == ["ghost", "nobody"]


async def test_a_batch_of_no_one_is_answered_with_the_boards_state(
    client: tuple[Client, int],
) -> None:
    found, _ = client
    answer = await found.boards.BatchGetRanks(pb.BatchGetRanksRequest())
    assert not answer.entries
    assert not answer.unranked_user_ids
    assert answer.state.total_users > 0


async def test_every_answer_says_what_it_is(client: tuple[Client, int]) -> None:
    found, source = client
    board = types_pb2.Board(course_id="c", window=types_pb2.WINDOW_WEEK, period="2026-W47")
    answer = await found.boards.GetTop(pb.GetTopRequest(board=board))
    state = answer.state
    assert state.board == types_pb2.Board(
        metric="xp", course_id="c", window=types_pb2.WINDOW_WEEK, period="2026-W47"
    )
    assert state.period_end_time.ToDatetime(UTC) == datetime(2026, 11, 23, tzinfo=UTC)
    assert state.total_users == 8
    assert state.source == source
    assert state.position == found.peer.position
    assert state.as_of_time == found.peer.changes[-1].numbered_time
    assert state.confirmed_time.ToMicroseconds() >= state.as_of_time.ToMicroseconds()
    everywhere = await found.boards.GetTop(pb.GetTopRequest())
    assert everywhere.state.board.window == types_pb2.WINDOW_ALL_TIME
    assert not everywhere.state.HasField("period_end_time")


async def test_an_empty_period_is_echoed_as_the_current_one(client: tuple[Client, int]) -> None:
    found, _ = client
    board = types_pb2.Board(window=types_pb2.WINDOW_YEAR)
    answer = await found.boards.GetRank(pb.GetRankRequest(board=board, user_id="ann"))
    assert answer.state.board.period == f"{datetime.now(UTC).year}"


async def test_an_old_period_is_answered_from_postgresql(redis_url: str) -> None:
    async with live_client(redis_url, await _filled()) as found:
        await found.peer.credit("ann", 3, occurred_date="2013-10-01")
        await found.live()
        board = types_pb2.Board(window=types_pb2.WINDOW_MONTH, period="2013-10")
        answer = await found.boards.GetTop(pb.GetTopRequest(board=board))
        assert answer.state.source == POSTGRESQL
        assert _rows(answer.entries) == [(1, "ann", 3, "Ann")]
        everywhere = await found.boards.GetRank(pb.GetRankRequest(user_id="ann"))
        assert (everywhere.entry.score, everywhere.state.source) == (53, REDIS)


async def _refusal(call: aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, LaurelError]:  # type: ignore[type-arg]
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), error_from_rpc(caught.value)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GetTopRequest(page_size=-1), "page_size"),
        (pb.GetTopRequest(page_token="x"), "page_token"),
        (pb.GetTopRequest(user_id="a b"), "user_id"),
        (pb.GetTopRequest(board=types_pb2.Board(period="2026")), "board.period"),
        (pb.GetRankRequest(), "user_id"),
        (pb.GetAroundRequest(user_id="a", count=-1), "count"),
        (pb.BatchGetRanksRequest(user_ids=["a"] * 501), "user_ids"),
    ],
)
async def test_a_malformed_request_names_its_field(
    redis_url: str, request_: object, field: str
) -> None:
    async with live_client(redis_url) as found:
        method = getattr(found.boards, type(request_).__name__.removesuffix("Request"))
        code, error = await _refusal(method(request_))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in error.violations] == [field]


@pytest.mark.parametrize(
    "request_",
    [
        pb.GetTopRequest(rank_mode=types_pb2.RANK_MODE_DENSE),
        pb.GetTopRequest(also_windows=[types_pb2.WINDOW_DAY]),
        pb.GetRankRequest(user_id="a", consistency_token="t"),
        pb.GetAroundRequest(user_id="a", rank_mode=types_pb2.RANK_MODE_ORDINAL),
    ],
)
async def test_what_is_not_offered_yet_says_so(redis_url: str, request_: object) -> None:
    async with live_client(redis_url) as found:
        method = getattr(found.boards, type(request_).__name__.removesuffix("Request"))
        code, _ = await _refusal(method(request_))
        assert code == grpc.StatusCode.UNIMPLEMENTED


async def test_a_page_of_more_than_500_is_one_of_500(redis_url: str) -> None:
    peer = Peer()
    for number in range(502):
        await peer.credit(f"u{number}", 1 + number % 7)
    async with live_client(redis_url, peer) as found:
        page = await found.boards.GetTop(pb.GetTopRequest(page_size=600))
        assert len(page.entries) == 500
        assert page.next_page_token
        assert len((await found.boards.GetTop(pb.GetTopRequest())).entries) == 50
