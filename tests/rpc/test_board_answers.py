"""The RPCs of LeaderboardService give the same answers from every store: those of a sorted list."""

from typing import Any

import pytest

from shared import page_token
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.page_token import PageToken
from shared.rank_mode import RankMode
from tests.board_scene import MODES, TIES, Scene, entries, numbered
from tests.leaderboard_app import POSTGRESQL
from tests.leaderboard_model import around
from tests.signing import SIGNER

# One loop for all: the scene is made once for each store.
pytestmark = pytest.mark.asyncio(loop_scope="module")

in_every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())


async def _pages(scene: Scene, board: types_pb2.Board, size: int, mode: RankMode) -> list[Any]:
    """A board page by page, each answered from the scene's store and with the token of the next."""
    pages: list[pb.GetTopResponse] = []
    token = ""
    while not pages or token:
        request = pb.GetTopRequest(
            board=board, page_size=size, page_token=token, rank_mode=numbered(mode)
        )
        page = await scene.boards.GetTop(request)
        assert page.state.source == scene.source
        token = page.next_page_token
        if token:
            last = page.entries[-1]
            at = page.state.position
            place = PageToken(at.epoch, at.sequence, last.score, last.user_id)
            name = f"{board.metric}//all_time/"
            assert token == page_token.encode(SIGNER, name, mode, place)
        pages.append(page)
    return pages


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        (RankMode.COMPETITION, [1, 1, 3], [3, 5]),
        (RankMode.DENSE, [1, 1, 2], [2, 3]),
        (RankMode.ORDINAL, [1, 2, 3], [4, 5]),
    ],
)
async def test_the_second_page_goes_on_with_the_numbers_of_the_first(
    scene: Scene, mode: RankMode, first: list[int], second: list[int]
) -> None:
    pages = await _pages(scene, scene.ties, 3, mode)
    assert [[entry.rank for entry in page.entries] for page in pages] == [first, second]
    users = [entry.user_id for page in pages for entry in page.entries]
    assert users == ["ann", "bob", "cat", "dan", "eve"]


@in_every_mode
async def test_pages_are_those_of_a_sorted_list(scene: Scene, mode: RankMode) -> None:
    for board, size in ((scene.ties, 1), (scene.ties, 5), (scene.crowd, 7), (scene.crowd, 50)):
        listed = scene.listed(board, mode)
        pages = await _pages(scene, board, size, mode)
        assert [len(page.entries) for page in pages[:-1]] == [size] * (len(pages) - 1)
        assert [entry for page in pages for entry in entries(page.entries)] == listed
        assert {page.state.total_users for page in pages} == {len(listed)}


@in_every_mode
async def test_a_rank_says_how_many_are_below_and_what_is_missing(
    scene: Scene, mode: RankMode
) -> None:
    for board, users in (
        (scene.ties, [*TIES]),
        (scene.crowd, [f"u{n}" for n in range(0, 300, 17)]),
    ):
        listed = scene.listed(board, mode)
        by_user = {entry.user_id: entry for entry in listed}
        for user in users:
            request = pb.GetRankRequest(board=board, user_id=user, rank_mode=numbered(mode))
            answer = await scene.boards.GetRank(request)
            assert entries([answer.entry]) == [by_user[user]]
            score = by_user[user].score
            below = sum(entry.score < score for entry in listed)
            assert answer.percentile == pytest.approx(100 * below / len(listed))
            higher = [entry.score for entry in listed if entry.score > score]
            assert answer.score_to_next_rank == (min(higher) - score if higher else 0)
            assert (answer.state.source, answer.state.total_users) == (scene.source, len(listed))


@in_every_mode
async def test_who_is_not_on_the_board_has_no_entry_and_no_neighbours(
    scene: Scene, mode: RankMode
) -> None:
    for user in ("nobody", "ghost", "u1"):
        of: dict[str, Any] = {"board": scene.ties, "user_id": user, "rank_mode": numbered(mode)}
        rank = await scene.boards.GetRank(pb.GetRankRequest(**of))
        assert not rank.HasField("entry")
        assert (rank.percentile, rank.score_to_next_rank, rank.state.total_users) == (0, 0, 5)
        near = await scene.boards.GetAround(pb.GetAroundRequest(**of))
        assert (len(near.entries), near.state.total_users) == (0, 5)
        top = await scene.boards.GetTop(pb.GetTopRequest(**of))
        assert not top.HasField("user_entry")


@in_every_mode
async def test_around_has_the_user_in_the_middle_or_as_near_as_the_ends_allow(
    scene: Scene, mode: RankMode
) -> None:
    for board, counts in ((scene.ties, (1, 2, 3, 5, 8)), (scene.crowd, (0, 1, 4, 101, 200))):
        listed = scene.listed(board, mode)
        for entry in [*listed[:3], *listed[len(listed) // 2 :: 40], *listed[-3:]]:
            for count in counts:
                request = pb.GetAroundRequest(
                    board=board, user_id=entry.user_id, count=count, rank_mode=numbered(mode)
                )
                near = await scene.boards.GetAround(request)
                expected = around(listed, entry.user_id, min(count or 11, 101))
                assert entries(near.entries) == expected
                assert near.state.source == scene.source


@in_every_mode
async def test_a_batch_of_500_is_ranked_and_names_those_who_are_not_on_the_board(
    scene: Scene, mode: RankMode
) -> None:
    strangers = [f"x{number}" for number in range(250)]
    users = [f"u{number}" for number in range(249)]
    asked = [*strangers, "ghost", *users]
    request = pb.BatchGetRanksRequest(board=scene.crowd, user_ids=asked, rank_mode=numbered(mode))
    answer = await scene.boards.BatchGetRanks(request)
    listed = scene.listed(scene.crowd, mode)
    assert entries(answer.entries) == [entry for entry in listed if entry.user_id in set(users)]
    assert answer.unranked_user_ids == [*strangers, "ghost"]
    assert (answer.state.source, answer.state.total_users) == (scene.source, 300)


async def test_a_batch_answers_each_user_once_and_of_no_one_the_boards_state(scene: Scene) -> None:
    asked = ["eve", "nobody", "ann", "nobody", "eve"]
    request = pb.BatchGetRanksRequest(board=scene.ties, user_ids=asked)
    answer = await scene.boards.BatchGetRanks(request)
    assert [(one.rank, one.user_id) for one in answer.entries] == [(1, "ann"), (5, "eve")]
    assert answer.unranked_user_ids == ["nobody"]
    nothing = await scene.boards.BatchGetRanks(pb.BatchGetRanksRequest(board=scene.ties))
    assert not nothing.entries
    assert not nothing.unranked_user_ids
    assert nothing.state.total_users == 5


@in_every_mode
async def test_the_top_comes_with_the_callers_own_entry(scene: Scene, mode: RankMode) -> None:
    by_user = {entry.user_id: entry for entry in scene.listed(scene.crowd, mode)}
    for user in ("u1", "u2", "u3"):
        request = pb.GetTopRequest(
            board=scene.crowd, page_size=2, user_id=user, rank_mode=numbered(mode)
        )
        top = await scene.boards.GetTop(request)
        assert entries([top.user_entry]) == [by_user[user]]


async def test_a_dense_rank_below_many_scores_is_right_too(scene: Scene) -> None:
    dense = RankMode.DENSE
    listed = scene.listed(scene.ladder, dense)
    for entry in (listed[0], listed[600], listed[-1]):
        request = pb.GetRankRequest(
            board=scene.ladder, user_id=entry.user_id, rank_mode=numbered(dense)
        )
        answer = await scene.boards.GetRank(request)
        assert entries([answer.entry]) == [entry]
        assert answer.state.source in {scene.source, POSTGRESQL}
    batch = pb.BatchGetRanksRequest(
        board=scene.ladder,
        user_ids=[entry.user_id for entry in listed[::3]],
        rank_mode=numbered(dense),
    )
    assert entries((await scene.boards.BatchGetRanks(batch)).entries) == listed[::3]
    last = pb.GetAroundRequest(
        board=scene.ladder, user_id=listed[-1].user_id, rank_mode=numbered(dense)
    )
    assert entries((await scene.boards.GetAround(last)).entries) == listed[-11:]


async def test_a_page_of_more_than_500_is_one_of_500(scene: Scene) -> None:
    page = await scene.boards.GetTop(pb.GetTopRequest(board=scene.ladder, page_size=600))
    assert entries(page.entries) == scene.listed(scene.ladder, RankMode.COMPETITION)[:500]
    assert page.next_page_token
    assert len((await scene.boards.GetTop(pb.GetTopRequest(board=scene.ladder))).entries) == 50
