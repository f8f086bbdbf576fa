"""Marks and passing: exact, half up, and the same for everybody."""

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.bounds import MAX_SCORE
from progress_service.domain.scoring import is_pass, marks_of

TOTALS = st.integers(1, 2**31 - 1)
MAX_MARKS = st.integers(0, MAX_SCORE)


@st.composite
def scores(draw: st.DrawFn) -> tuple[int, int]:
    total = draw(TOTALS)
    return draw(st.integers(0, total)), total


@given(MAX_MARKS, scores())
def test_marks_are_the_share_rounded_half_up(max_marks: int, score: tuple[int, int]) -> None:
    correct, total = score
    exact = Fraction(max_marks * correct, total)
    assert marks_of(max_marks, correct, total) == floor(exact + Fraction(1, 2))


def test_a_half_is_rounded_up_never_to_even() -> None:
    assert [marks_of(5, 1, 2), marks_of(3, 1, 2), marks_of(1, 1, 2)] == [3, 2, 1]
    assert [marks_of(100, 1, 8), marks_of(100, 3, 8)] == [13, 38]


@given(MAX_MARKS, TOTALS)
def test_all_right_is_full_marks_and_none_right_is_none(max_marks: int, total: int) -> None:
    assert marks_of(max_marks, total, total) == max_marks
    assert marks_of(max_marks, 0, total) == 0


@given(MAX_MARKS, st.integers(1, 10_000), st.data())
def test_one_more_right_answer_never_costs_marks(
    max_marks: int, total: int, data: st.DataObject
) -> None:
    correct = data.draw(st.integers(0, total - 1))
    assert marks_of(max_marks, correct, total) <= marks_of(max_marks, correct + 1, total)


@given(scores())
def test_the_ratio_itself_passes(score: tuple[int, int]) -> None:
    correct, total = score
    assert is_pass(correct, total, correct / total)


@given(st.integers(0, 100))
def test_a_ratio_written_in_hundredths_is_reached_by_as_many_percent(percent: int) -> None:
    ratio = float(f"0.{percent:02d}") if percent < 100 else 1.0
    assert is_pass(percent, 100, ratio)
    assert percent == 0 or not is_pass(percent - 1, 100, ratio)


@given(scores())
def test_a_ratio_of_zero_passes_any_attempt_and_one_only_the_faultless(
    score: tuple[int, int],
) -> None:
    correct, total = score
    assert is_pass(correct, total, 0.0)
    assert is_pass(correct, total, 1.0) == (correct == total)
