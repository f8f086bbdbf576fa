"""What users are told of their own: their ledger, page by page, and their totals."""

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.fabricated import Told, a_run
from tests.faults.judging import judge
from tests.faults.verdict import EXACTLY_ONCE


def _broken(told: Told) -> set[str]:
    return {violation.promise for violation in judge(told.recorded).violations}


def _ledger() -> tuple[Told, Any, Any]:
    """Two pages of a ledger of five."""
    told = a_run()
    for number in range(2):
        told.award("bob", 3, f"b{number}")
    first = told.ledger("bob", size=2)
    last = int(first.response.entries[-1].entry_id)
    second = told.ledger("bob", token=first.response.next_page_token, before=last)
    return told, first.response, second.response


def test_pages_of_a_ledger_have_every_entry() -> None:
    told, first, second = _ledger()
    assert (len(first.entries), len(second.entries)) == (2, 3)
    assert not _broken(told)


@pytest.mark.parametrize("page", [0, 1])
def test_no_page_of_a_ledger_may_lack_an_entry_or_have_another(page: int) -> None:
    for place in (0, 1):
        told, *pages = _ledger()
        del pages[page].entries[place]
        assert _broken(told) == {EXACTLY_ONCE}
        told, *pages = _ledger()
        pages[page].entries[place].amount += 1
        assert _broken(told) == {EXACTLY_ONCE}


def test_a_page_of_a_ledger_says_whether_there_is_another() -> None:
    told, first, second = _ledger()
    second.next_page_token = "more"
    assert _broken(told) == {EXACTLY_ONCE}
    told, first, _ = _ledger()
    first.next_page_token = ""
    assert EXACTLY_ONCE in _broken(told)


def test_totals_have_what_was_acknowledged_before_they_were_asked_for() -> None:
    told = a_run()
    told.stats("ann")
    told.award("ann", 5, "a1")
    stats = told.stats("ann").response.metrics[0]
    assert not _broken(told)
    stats.all_time -= 5
    assert _broken(told) == {EXACTLY_ONCE}


def test_totals_may_be_ahead_of_their_position_and_not_of_what_was_done() -> None:
    told = a_run()
    early = told.stats("ann")
    told.award("ann", 5, "a1")
    metric = early.response.metrics[0]
    for name in ("all_time", "year", "month", "week", "day"):
        setattr(metric, name, getattr(metric, name) + 5)
    assert not _broken(told)
    metric.all_time += 1
    assert _broken(told) == {EXACTLY_ONCE}


def test_totals_of_a_window_are_those_since_its_reset() -> None:
    told = a_run()
    metric = told.stats("ann").response.metrics[0]
    assert metric.day < metric.week
    metric.day = metric.week
    assert _broken(told) == {EXACTLY_ONCE}


def _told_amid_a_reset(told: Told, *, reset_s: float) -> None:
    """Today's score without the reset and with what has a number after it; the reset is
    acknowledged so late.
    """
    told.award("ann", 7, "a1")
    held = told.stats("ann").response.metrics[0].day
    reset = told.reset("again")
    position = told.position
    told.award("ann", 5, "a2")
    metric = told.stats("ann").response.metrics[0]
    assert metric.day == 5
    metric.day = held + 5
    told.recorded.calls[-1].response.position.sequence = position.sequence - 1
    number = told.recorded.calls.index(reset)
    told.recorded.calls[number] = replace(reset, ended=reset.begun + reset_s)


def test_what_is_numbered_after_a_reset_may_be_committed_before_it() -> None:
    told = a_run()
    _told_amid_a_reset(told, reset_s=2.5)
    assert not _broken(told)


def test_a_reset_that_was_acknowledged_is_in_all_totals() -> None:
    told = a_run()
    _told_amid_a_reset(told, reset_s=1)
    assert _broken(told) == {EXACTLY_ONCE}
