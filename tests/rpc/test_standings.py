"""StandingsService: boards and snapshots of PostgreSQL, and that both equal the ledger."""

from typing import Any, TypeAlias

from shared.errors import InvalidInput
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress, level, refused

Mode: TypeAlias = types_pb2.RankMode.ValueType


async def put_user(progress: Progress, user_id: str, **fields: Any) -> None:
    user = catalog.User(user_id=user_id, **fields)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))


async def test_equal_scores_share_a_rank_and_are_listed_by_user_id_bytewise(
    progress: Progress,
) -> None:
    users = ["b", "B", "a", "_", "A", "10", "9"]
    await progress.put_users(*users)
    for user_id, amount in zip(users, (5, 5, 9, 5, 5, 1, 5), strict=True):
        await progress.award(user_id, amount)
    assert await progress.top() == [
        (1, "a", 9),
        (2, "9", 5),
        (2, "A", 5),
        (2, "B", 5),
        (2, "_", 5),
        (2, "b", 5),
        (7, "10", 1),
    ]


async def test_a_page_has_names_the_boards_size_and_the_callers_own_standing(
    progress: Progress,
) -> None:
    await put_user(progress, "ann", display_name="Ann", avatar_url="https://x.example/a")
    await progress.put_users("bob", "eve")
    for user_id, amount in (("ann", 3), ("bob", 2), ("eve", 1)):
        await progress.award(user_id, amount)
    position = await progress.settled()
    found = await progress.standings.ListStandings(
        pb.ListStandingsRequest(page_size=1, user_id="eve")
    )
    (first,) = found.standings
    assert (first.display_name, first.avatar_url) == ("Ann", "https://x.example/a")
    assert (found.total_users, found.position) == (3, position)
    assert (found.user_standing.rank, found.user_standing.score) == (3, 1)
    assert found.HasField("as_of_time")
    missing = await progress.standings.ListStandings(pb.ListStandingsRequest(user_id="nobody"))
    assert not missing.HasField("user_standing")
    around = await progress.standings.ListStandings(
        pb.ListStandingsRequest(around_user_id="nobody")
    )
    assert (list(around.standings), around.total_users) == ([], 3)


async def test_before_the_first_change_boards_are_empty_and_of_no_time(progress: Progress) -> None:
    for board in (types_pb2.Board(), types_pb2.Board(metric="nothing")):
        found = await progress.standings.ListStandings(pb.ListStandingsRequest(board=board))
        assert (list(found.standings), found.total_users, found.next_page_token) == ([], 0, "")
        assert (found.position.sequence, found.HasField("as_of_time")) == (0, False)
    batch = await progress.standings.BatchGetStandings(pb.BatchGetStandingsRequest(user_ids=["a"]))
    assert (list(batch.standings), batch.HasField("as_of_time")) == ([], False)


async def test_a_hidden_user_leaves_every_board_and_returns_with_the_score(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob")
    await put_user(progress, "eve", hidden=True)
    await progress.put_course("c", level("l1"))
    await progress.submit("ann", "l1")
    await progress.award("bob", 7)
    await progress.award("eve", 60)
    assert await progress.top() == [(1, "ann", 50), (2, "bob", 7)]
    await put_user(progress, "ann", hidden=True)
    assert await progress.top() == [(1, "bob", 7)]
    assert await progress.top(course_id="c") == []
    request = pb.BatchGetStandingsRequest(user_ids=["ann", "bob", "eve"])
    batch = await progress.standings.BatchGetStandings(request)
    assert ([one.user_id for one in batch.standings], batch.total_users) == (["bob"], 1)
    # What a hidden user earns counts when the user is back.
    await progress.award("ann", 8)
    await put_user(progress, "ann")
    await put_user(progress, "eve", display_name="Eve")
    assert await progress.top() == [(1, "eve", 60), (2, "ann", 58), (3, "bob", 7)]
    assert await progress.top(course_id="c") == [(1, "ann", 50)]
    batch = await progress.standings.BatchGetStandings(request)
    assert [(one.user_id, one.users_below) for one in batch.standings] == [
        ("eve", 2),
        ("ann", 1),
        ("bob", 0),
    ]


async def test_a_score_of_zero_is_not_listed(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    entry = await progress.award("ann", 7)
    await progress.award("bob", 1)
    await progress.revoke(entry.entry_id)
    assert await progress.top() == [(1, "bob", 1)]


async def test_a_malformed_request_names_its_field(progress: Progress) -> None:
    def board(**fields: Any) -> types_pb2.Board:
        return types_pb2.Board(**fields)

    for request, field in (
        (pb.ListStandingsRequest(board=board(metric="a/b")), "board.metric"),
        (pb.ListStandingsRequest(board=board(course_id="a b")), "board.course_id"),
        (pb.ListStandingsRequest(board=board(window=9)), "board.window"),
        (pb.ListStandingsRequest(board=board(period="2026")), "board.period"),
        (pb.ListStandingsRequest(board=board(window=4, period="2026-11")), "board.period"),
        (pb.ListStandingsRequest(board=board(window=5, period="2026-02-30")), "board.period"),
        (pb.ListStandingsRequest(page_size=-1), "page_size"),
        (pb.ListStandingsRequest(around_user_id="a b"), "around_user_id"),
        (pb.ListStandingsRequest(user_id="a b"), "user_id"),
        (pb.ListStandingsRequest(around_user_id="a", page_token="x"), "around_user_id"),
        (pb.ListStandingsRequest(also_boards=[board()] * 11), "also_boards"),
        (
            pb.ListStandingsRequest(also_boards=[board(), board(metric="a/b")]),
            "also_boards[1].metric",
        ),
        (pb.ListStandingsRequest(rank_mode=4), "rank_mode"),  # type: ignore[arg-type]
    ):
        assert await violations(progress.standings.ListStandings(request)) == [field]
    for batch, field in (
        (pb.BatchGetStandingsRequest(user_ids=["a"] * 501), "user_ids"),
        (pb.BatchGetStandingsRequest(user_ids=["a", ""]), "user_ids[1]"),
        (pb.BatchGetStandingsRequest(rank_mode=-1), "rank_mode"),  # type: ignore[arg-type]
    ):
        assert await violations(progress.standings.BatchGetStandings(batch)) == [field]
    day = pb.PeriodFloor(window=types_pb2.WINDOW_DAY, first_period="2026-11-20")
    for floors, field in (
        ([pb.PeriodFloor(first_period="2026")], "floors[0].window"),
        (
            [pb.PeriodFloor(window=types_pb2.WINDOW_ALL_TIME, first_period="2026")],
            "floors[0].window",
        ),
        ([day, day], "floors[1].window"),
        ([day, pb.PeriodFloor(window=types_pb2.WINDOW_YEAR)], "floors[1].first_period"),
    ):
        call = progress.standings.SnapshotStandings(pb.SnapshotStandingsRequest(floors=floors))
        assert await violations(call.read()) == [field]


async def violations(call: Any) -> list[str]:
    async with refused(InvalidInput, "INVALID_FIELD") as errors:
        await call
    return [violation.field for violation in errors[0].violations]


async def test_each_standing_also_has_its_scores_on_other_boards(progress: Progress) -> None:
    await progress.put_users("ann", "bob", "eve", "joe")
    await progress.put_course("c", level("l1"))
    for user_id, amount in (("ann", 3), ("bob", 2), ("eve", 60), ("joe", 1)):
        await progress.award(user_id, amount)
    await progress.submit("bob", "l1")
    solved = await progress.award("ann", 5, metric="problems_solved")
    await progress.award("joe", 7, metric="problems_solved")
    await progress.revoke(solved.entry_id)
    await put_user(progress, "eve", hidden=True)
    await progress.settled()
    also = [
        types_pb2.Board(metric="problems_solved"),
        types_pb2.Board(metric="nothing"),
        types_pb2.Board(course_id="c", window=types_pb2.WINDOW_YEAR),
        types_pb2.Board(),
        types_pb2.Board(metric="problems_solved"),
    ]
    expected = {
        "bob": [0, 0, 50, 52, 0],
        "ann": [0, 0, 0, 3, 0],
        "joe": [7, 0, 0, 1, 7],
    }
    request = pb.ListStandingsRequest(page_size=2, user_id="joe", also_boards=also)
    first = await progress.standings.ListStandings(request)
    rest = await progress.standings.ListStandings(
        pb.ListStandingsRequest(page_token=first.next_page_token, also_boards=also)
    )
    around = await progress.standings.ListStandings(
        pb.ListStandingsRequest(around_user_id="ann", user_id="eve", also_boards=also)
    )
    for found in ([*first.standings, *rest.standings], around.standings):
        assert [(one.user_id, list(one.also_scores)) for one in found] == [*expected.items()]
    assert list(first.user_standing.also_scores) == expected["joe"]
    assert not around.HasField("user_standing")


async def test_a_page_token_is_of_one_rank_mode_and_unforgeable(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    for user_id in ("ann", "bob"):
        await progress.award(user_id, 7)
    await progress.settled()
    modes = types_pb2.RankMode.values()[1:]

    async def page(mode: Mode, token: str = "") -> pb.ListStandingsResponse:
        request = pb.ListStandingsRequest(page_size=1, page_token=token, rank_mode=mode)
        return await progress.standings.ListStandings(request)

    tokens = {mode: (await page(mode)).next_page_token for mode in modes}
    assert tokens[types_pb2.RANK_MODE_COMPETITION] == (
        (await page(types_pb2.RANK_MODE_UNSPECIFIED)).next_page_token
    )
    for mode in modes:
        for other, token in tokens.items():
            if other == mode:
                (second,) = (await page(mode, token)).standings
                assert second.user_id == "bob"
            else:
                async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
                    await page(mode, token)
    token = tokens[modes[0]]
    for forged in (token[:-1], token[1:], token.swapcase()):
        async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
            await page(modes[0], forged)
