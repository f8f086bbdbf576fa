"""The arithmetic that `make bench` reports with."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import median, percentile, table

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(VALUES)
def test_the_median_is_the_middle_value(values: list[float]) -> None:
    assert median(values) == pytest.approx(statistics.median(values))


@given(VALUES, st.floats(0.1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    needed = len(values) * percent / 100
    assert found in values
    assert sum(one <= found for one in values) >= needed
    assert sum(one < found for one in values) < needed


def test_percentiles_of_a_hundred_values_are_those_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percent_outside_its_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="at most 100"):
        percentile([1.0], percent)


def test_no_values_have_no_median_and_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        median([])
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_table_aligns_its_columns() -> None:
    assert table(["", "p50"], [["read", "1 ms"], ["a", "10 ms"]]) == (
        "          p50\n  read   1 ms\n  a     10 ms"
    )
