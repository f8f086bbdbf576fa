"""What boards are made of: names, floors, folds, request rules. No I/O."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard_service.domain import request as rules
from leaderboard_service.domain.board import (
    Board,
    BoardNames,
    Floors,
    Kept,
    parse_board_name,
)
from leaderboard_service.domain.fold import Fold, Profile
from shared.errors import InvalidInput
from shared.periods import Window, period_of

TODAY = date(2026, 11, 20)
NOTHING = Floors("", "", "", "")
IDS = st.text("abcXYZ019._:-", min_size=1, max_size=64)


@given(metric=IDS, course=st.just("") | IDS, window=st.sampled_from(list(Window)))
def test_a_boards_name_names_one_board(metric: str, course: str, window: Window) -> None:
    board = Board(metric, course, window, period_of(window, TODAY))
    assert parse_board_name(board.name) == board


def test_the_kept_periods_include_the_current_one() -> None:
    floors = Floors.on(TODAY, Kept(years=3, months=14, weeks=10, days=35))
    assert floors == Floors("2024", "2025-10", "2026-W38", "2026-10-17")
    assert Floors.on(TODAY, Kept(1, 1, 1, 1)) == Floors("2026", "2026-11", "2026-W47", "2026-11-20")


def test_floors_only_rise() -> None:
    low = Floors("2024", "2025-10", "2026-W38", "2026-10-17")
    high = Floors("2023", "2026-01", "2026-W01", "2026-12-01")
    assert low.raised_to(high) == Floors("2024", "2026-01", "2026-W38", "2026-12-01")
    assert Floors.decode(low.encode()) == low


def test_a_credit_counts_in_the_metrics_windows_and_in_kept_periods_only() -> None:
    floors = Floors("2024", "2025-10", "2026-W38", "2026-10-17")
    names = BoardNames(floors)
    assert names.of("xp", "", "2026-10-16", (Window.DAY, Window.MONTH)) == ("xp//month/2026-10",)
    assert names.of("xp", "c", "1999-01-01", ()) == ("xp//all_time/", "xp/c/all_time/")


def test_a_fold_sums_by_board_and_user_and_keeps_the_last_profile() -> None:
    fold = Fold(BoardNames(NOTHING))
    for amount in (5, -2):
        fold.credit("a", amount, metric="xp", course_id="c", day="2026-11-20", windows=(1, 2))
    fold.profile("a", Profile("A", "", hidden=True))
    fold.profile("a", Profile("B", "", hidden=False))
    assert fold.boards == {
        f"xp/{course}/{period}": {"a": 3}
        for course in ("", "c")
        for period in ("all_time/", "year/2026")
    }
    assert fold.profiles == {"a": Profile("B", "", hidden=False)}


def test_a_credit_does_not_count_on_boards_that_it_excludes() -> None:
    fold = Fold(BoardNames(NOTHING))
    fold.credit(
        "a",
        -5,
        metric="xp",
        course_id="",
        day="2026-11-20",
        windows=(1, 2),
        excluded=frozenset({"xp//year/2026"}),
    )
    assert fold.boards == {"xp//all_time/": {"a": -5}}


def test_an_empty_board_is_xp_of_all_time() -> None:
    board = rules.resolve_board("", "", 0, "", TODAY)
    assert board == Board("xp", "", Window.ALL_TIME, "")


def test_an_empty_period_is_the_current_one() -> None:
    assert rules.resolve_board("xp", "", Window.WEEK, "", TODAY).period == "2026-W47"


@pytest.mark.parametrize(
    ("board", "field"),
    [
        (("x/p", "", 1, ""), "board.metric"),
        (("", "c c", 1, ""), "board.course_id"),
        (("", "", 6, ""), "board.window"),
        (("", "", 1, "2026"), "board.period"),
        (("", "", 0, "2026"), "board.period"),
        (("", "", 4, "2026-11"), "board.period"),
        (("", "", 4, "2026-W54"), "board.period"),
        (("", "", 5, "2026-02-30"), "board.period"),
    ],
)
def test_a_malformed_board_is_invalid(board: tuple[str, str, int, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rules.resolve_board(*board, TODAY)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_sizes_have_a_default_and_a_most_and_are_not_negative() -> None:
    assert [rules.coerce_size(n, 50, 500, "page_size") for n in (0, 7, 501)] == [50, 7, 500]
    with pytest.raises(InvalidInput):
        rules.coerce_size(-1, 50, 500, "page_size")


def test_a_batch_names_each_user_once() -> None:
    assert rules.check_batch(["b", "a", "b"]) == ("b", "a")
    assert rules.check_batch([]) == ()
    for bad in (["a"] * 501, ["a", ""], ["a b"]):
        with pytest.raises(InvalidInput):
            rules.check_batch(bad)


def test_a_rank_mode_is_competition_unless_said_and_one_of_three() -> None:
    assert [rules.rank_mode(number) for number in (0, 1, 2, 3)] == [1, 1, 2, 3]
    for number in (-1, 4):
        with pytest.raises(InvalidInput) as caught:
            rules.rank_mode(number)
        assert caught.value.violations[0].field == "rank_mode"
