"""What board requests mean, whichever store answers: windows, periods, tokens, malformed ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc import aio

from leaderboard_service.boards import Need
from leaderboard_service.domain.answer import Position, RankAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import RankAsk
from shared import page_token
from shared.errors import InvalidInput, LaurelError, Unavailable
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.gen.laurel.types.v1 import types_pb2
from shared.page_token import PageToken
from shared.periods import Window, period_of
from shared.rank_mode import RankMode
from shared.signed_token import Signer
from shared.status import error_from_rpc
from tests.board_scene import LONG_AGO, NOW, TIES, Scene
from tests.leaderboard_app import POSTGRESQL
from tests.pair_acts import period
from tests.progress import refused
from tests.signing import SIGNER

# One loop for all: the scene is made once for each store.
pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = types_pb2.WINDOW_ALL_TIME
DAY = types_pb2.WINDOW_DAY
WEEK = types_pb2.WINDOW_WEEK
NONE = types_pb2.WINDOW_UNSPECIFIED


def _rows(page: pb.GetTopResponse) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(one.user_id, one.score, tuple(one.also_scores)) for one in page.entries]


async def test_scores_in_other_windows_come_in_the_order_asked_for(scene: Scene) -> None:
    windows = [DAY, ALL, WEEK, DAY, NONE]
    top = await scene.boards.GetTop(pb.GetTopRequest(also_windows=windows, user_id="eve"))
    expected = []
    for user, score in TIES.items():
        now = NOW.get(user, 0)
        expected.append((user, score, (now, score, now, now, score)))
    assert _rows(top) == expected
    assert tuple(top.user_entry.also_scores) == expected[-1][2]
    assert top.state.source == scene.source
    without = await scene.boards.GetTop(pb.GetTopRequest(user_id="eve"))
    assert {len(one.also_scores) for one in (*without.entries, without.user_entry)} == {0}


async def test_the_order_stays_that_of_the_board_which_is_asked_for(scene: Scene) -> None:
    board = types_pb2.Board(window=DAY)
    request = pb.GetTopRequest(board=board, also_windows=[ALL], page_size=3, user_id="ann")
    first = await scene.boards.GetTop(request)
    assert _rows(first) == [("dan", 4, (30,)), ("cat", 3, (30,)), ("bob", 2, (50,))]
    assert (first.user_entry.rank, list(first.user_entry.also_scores)) == (4, [50])
    request.page_token = first.next_page_token
    assert _rows(await scene.boards.GetTop(request)) == [("ann", 1, (50,))]


async def test_scores_besides_are_those_of_the_same_course(scene: Scene) -> None:
    board = types_pb2.Board(course_id="c")
    top = await scene.boards.GetTop(pb.GetTopRequest(board=board, also_windows=[DAY]))
    assert _rows(top) == [(user, now, (now,)) for user, now in reversed(NOW.items())]


async def test_every_answer_says_what_it_is(scene: Scene) -> None:
    week = period(Window.WEEK)
    board = types_pb2.Board(course_id="c", window=WEEK, period=week)
    head = await scene.progress.standings.ListStandings(progress_pb2.ListStandingsRequest())
    of: dict[str, Any] = {"board": board, "user_id": "ann"}
    for answer in (
        await scene.boards.GetTop(pb.GetTopRequest(**of)),
        await scene.boards.GetRank(pb.GetRankRequest(**of)),
        await scene.boards.GetAround(pb.GetAroundRequest(**of)),
        await scene.boards.BatchGetRanks(pb.BatchGetRanksRequest(board=board)),
    ):
        state = answer.state
        assert state.board == types_pb2.Board(metric="xp", course_id="c", window=WEEK, period=week)
        monday = datetime.strptime(f"{week}-1", "%G-W%V-%u").replace(tzinfo=UTC)
        assert state.period_end_time.ToDatetime(UTC) == monday + timedelta(days=7)
        assert (state.total_users, state.source) == (len(NOW), scene.source)
        assert (state.position, state.as_of_time) == (head.position, head.as_of_time)
        assert state.confirmed_time.ToMicroseconds() >= state.as_of_time.ToMicroseconds()


@pytest.mark.parametrize("window", [Window.YEAR, Window.MONTH, Window.WEEK, Window.DAY])
async def test_an_empty_period_is_echoed_as_the_current_one(scene: Scene, window: Window) -> None:
    board = types_pb2.Board(window=types_pb2.Window.ValueType(window))
    answer = await scene.boards.GetTop(pb.GetTopRequest(board=board))
    assert answer.state.board.period == period_of(window, datetime.now(UTC).date())
    assert _rows(answer) == [(user, now, ()) for user, now in reversed(NOW.items())]


async def test_an_empty_board_is_xp_of_all_time_and_does_not_end(scene: Scene) -> None:
    answer = await scene.boards.GetTop(pb.GetTopRequest())
    assert answer.state.board == types_pb2.Board(metric="xp", window=ALL)
    assert not answer.state.HasField("period_end_time")
    assert _rows(answer) == [(user, score, ()) for user, score in TIES.items()]


async def test_a_board_that_nobody_is_on_is_no_error(scene: Scene) -> None:
    board = types_pb2.Board(metric="unheard-of")
    top = await scene.boards.GetTop(pb.GetTopRequest(board=board, user_id="ann"))
    assert (len(top.entries), top.next_page_token, top.state.total_users) == (0, "", 0)
    batch = pb.BatchGetRanksRequest(board=board, user_ids=["ann"])
    assert (await scene.boards.BatchGetRanks(batch)).unranked_user_ids == ["ann"]


async def test_an_old_period_is_answered_from_postgresql(scene: Scene) -> None:
    board = types_pb2.Board(window=DAY, period=period(Window.DAY, LONG_AGO))
    answer = await scene.boards.GetTop(pb.GetTopRequest(board=board, also_windows=[DAY]))
    assert answer.state.source == POSTGRESQL
    before = {user: score - NOW.get(user, 0) for user, score in TIES.items()}
    expected = [(user, score, (NOW.get(user, 0),)) for user, score in before.items()]
    assert _rows(answer) == sorted(expected, key=lambda row: (-row[1], row[0]))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GetTopRequest(page_size=-1), "page_size"),
        (pb.GetTopRequest(page_token="x"), "page_token"),
        (pb.GetTopRequest(user_id="a b"), "user_id"),
        (pb.GetTopRequest(board=types_pb2.Board(period="2026")), "board.period"),
        (pb.GetTopRequest(also_windows=[DAY] * 6), "also_windows"),
        (pb.GetTopRequest(also_windows=[DAY, 9]), "also_windows[1]"),  # type: ignore[list-item]
        (pb.GetTopRequest(rank_mode=4), "rank_mode"),  # type: ignore[arg-type]
        (pb.GetRankRequest(), "user_id"),
        (pb.GetRankRequest(user_id="a", rank_mode=-1), "rank_mode"),  # type: ignore[arg-type]
        (pb.GetAroundRequest(user_id="a", count=-1), "count"),
        (pb.GetAroundRequest(user_id="a", rank_mode=4), "rank_mode"),  # type: ignore[arg-type]
        (pb.BatchGetRanksRequest(user_ids=["a"] * 501), "user_ids"),
        (pb.BatchGetRanksRequest(user_ids=["a", ""]), "user_ids[1]"),
        (pb.BatchGetRanksRequest(rank_mode=4), "rank_mode"),  # type: ignore[arg-type]
    ],
)
async def test_a_malformed_request_names_its_field(
    scene: Scene, request_: object, field: str
) -> None:
    method = getattr(scene.boards, type(request_).__name__.removesuffix("Request"))
    code, error = await _refusal(method(request_))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [field]


async def _refusal(call: aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, LaurelError]:  # type: ignore[type-arg]
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), error_from_rpc(caught.value)


async def test_a_page_token_is_for_its_board_its_mode_and_this_deployment(scene: Scene) -> None:
    dense = types_pb2.RANK_MODE_DENSE
    ties = scene.ties
    request = pb.GetTopRequest(board=ties, page_size=2, rank_mode=dense)
    first = await scene.boards.GetTop(request)
    token = first.next_page_token
    request.page_token = token
    # The size may change from page to page.
    request.page_size = 50
    assert [one.user_id for one in (await scene.boards.GetTop(request)).entries] == [*TIES][2:]
    place = PageToken(first.state.position.epoch, 1, 50, "bob")
    name = f"{ties.metric}//all_time/"
    foreign = page_token.encode(Signer("a secret of others, 32 characters"), name, dense, place)
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in (
        {"page_token": forged},
        {"page_token": foreign},
        {"page_token": token[:-4]},
        {"rank_mode": types_pb2.RANK_MODE_ORDINAL},
        {"rank_mode": types_pb2.RANK_MODE_UNSPECIFIED},
        {"board": scene.crowd},
        {"board": types_pb2.Board(metric=ties.metric, window=WEEK)},
    ):
        given: dict[str, Any] = {"board": ties, "rank_mode": dense, "page_token": token, **wrong}
        async with refused(InvalidInput, "INVALID_PAGE_TOKEN") as caught:
            await scene.boards.GetTop(pb.GetTopRequest(**given))
        assert [violation.field for violation in caught[0].violations] == ["page_token"]


async def test_a_page_token_of_another_history_is_refused(scene: Scene) -> None:
    for epoch in ("no-uuid", "00000000-0000-4000-8000-000000000000"):
        name, place = f"{scene.ties.metric}//all_time/", PageToken(epoch, 1, 50, "bob")
        token = page_token.encode(SIGNER, name, RankMode.COMPETITION, place)
        async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
            await scene.boards.GetTop(pb.GetTopRequest(board=scene.ties, page_token=token))


async def test_an_answer_that_lacks_the_write_is_not_given(scene: Scene) -> None:
    ask = RankAsk(Board("xp", "", Window.ALL_TIME, ""), RankMode.COMPETITION, "ann")
    boards = scene.app._boards

    async def ask_for(at_least: Position | None) -> RankAnswer:
        return await boards.rank(ask, Need(lambda: 5.0, at_least))

    position = (await ask_for(None)).stamp.position
    assert (await ask_for(position)).stamp.source == scene.source
    for missing in (
        Position(position.epoch, position.sequence + 1),
        Position("the-next-tenure", position.sequence),
    ):
        with pytest.raises(Unavailable) as caught:
            await ask_for(missing)
        assert caught.value.reason == "WRITE_NOT_VISIBLE"
