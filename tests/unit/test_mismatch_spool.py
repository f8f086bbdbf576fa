from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.store.mismatch_spool import MismatchSpool, SpoolFullError
from progress_service.store.mismatches import Kind, Mismatch


def mismatch(number: int) -> Mismatch:
    return Mismatch(Kind.STANDING, f"u{number}", number, -number, "xp", "c", 4, "2026-W47")


def test_what_was_added_comes_out_in_order_with_the_marks_between() -> None:
    with closing(MismatchSpool()) as spool:
        assert not spool.take(10).is_news
        spool.mark(0)
        assert spool.take(10).is_news
        assert not spool.take(10).is_news
        for number in range(3):
            spool.add(mismatch(number))
        spool.mark(7)
        spool.add(mismatch(3))
        first = spool.take(2)
        assert (first.mismatches, first.users_checked) == ((mismatch(0), mismatch(1)), 0)
        second = spool.take(2)
        assert (second.mismatches, second.users_checked) == ((mismatch(2), mismatch(3)), 7)
        assert not spool.take(2).is_news


def test_it_takes_no_more_than_fit() -> None:
    with closing(MismatchSpool(max_mismatches=2)) as spool:
        spool.add(mismatch(1))
        spool.add(mismatch(2))
        with pytest.raises(SpoolFullError):
            spool.add(mismatch(3))
        assert spool.take(9).mismatches == (mismatch(1), mismatch(2))


def test_every_kind_of_mismatch_comes_out_as_it_went_in() -> None:
    figure = Mismatch(Kind.COURSE_PROGRESS, "ü\n", 1, 0, course_id="c", figure="marks")
    level = figure._replace(kind=Kind.LEVEL_PROGRESS, level_id="l1", figure="completed")
    total = Mismatch(Kind.TOTAL, "u", 2**53, -(2**53), metric="xp", window=1)
    with closing(MismatchSpool()) as spool:
        for one in (figure, level, total):
            spool.add(one)
        assert spool.take(9).mismatches == (figure, level, total)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_however_it_is_read_nothing_is_lost_or_repeated(steps: list[int]) -> None:
    with closing(MismatchSpool()) as spool:
        added, checked = 0, 0
        found: list[Mismatch] = []
        for step in steps:
            for _ in range(step):
                spool.add(mismatch(added))
                added += 1
            spool.mark(added)
            taken = spool.take(step + 1)
            found += taken.mismatches
            # Whoever is counted has been told about.
            assert checked <= taken.users_checked <= len(found)
            checked = taken.users_checked
        found += spool.take(1_000).mismatches
        assert found == [mismatch(number) for number in range(added)]
