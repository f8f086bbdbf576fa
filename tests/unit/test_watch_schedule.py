"""When a watched board is read, and how fast messages go out."""

import asyncio
import math
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from leaderboard_service.domain.board import Board
from leaderboard_service.watching.asked import Asked, current_key
from leaderboard_service.watching.schedule import Rhythm, Schedule
from leaderboard_service.watching.turns import Turns
from shared.periods import Window, period_of

RHYTHM = Rhythm(pace_s=0.1, poll_s=2.0)


def _published(at: float, *, polled: bool = False) -> Schedule:
    schedule = Schedule(RHYTHM)
    schedule.begin()
    schedule.publish(at, polled=polled, silent_at=at + 15)
    return schedule


def test_a_new_board_is_read_at_once_when_someone_comes() -> None:
    schedule = Schedule(RHYTHM)
    assert schedule.due_at(moved=False) == math.inf
    schedule.join()
    assert schedule.due_at(moved=False) == -math.inf


def test_a_board_that_was_touched_is_read_at_its_pace() -> None:
    schedule = _published(7)
    assert schedule.due_at(moved=False) == 22
    assert schedule.touch()
    assert not schedule.touch()
    assert schedule.due_at(moved=False) == 7.1
    schedule.begin()
    schedule.publish(8, polled=False, silent_at=21)
    assert schedule.due_at(moved=False) == 21


def test_what_happens_during_a_read_is_for_the_next() -> None:
    for happen in (Schedule.touch, Schedule.join):
        schedule = Schedule(RHYTHM)
        schedule.join()
        schedule.begin()
        happen(schedule)
        schedule.publish(7, polled=False, silent_at=22)
        assert schedule.due_at(moved=False) == 7.1


def test_a_board_that_is_polled_is_not_read_oftener_for_being_touched() -> None:
    schedule = _published(7, polled=True)
    schedule.touch()
    assert schedule.due_at(moved=False) == 9
    schedule.join()
    assert schedule.due_at(moved=False) == 7.1


def test_a_board_whose_period_has_ended_is_read_at_once() -> None:
    assert _published(7).due_at(moved=True) == 7.1


def test_what_fails_is_tried_again_after_growing_pauses_whatever_happens() -> None:
    schedule = _published(7)
    pauses = []
    for _ in range(12):
        schedule.fail(100)
        schedule.touch()
        schedule.join()
        pauses.append(schedule.due_at(moved=True) - 100)
    assert 0.05 <= pauses[0] <= 0.1
    assert 1 <= pauses[-1] <= 2
    schedule.begin()
    schedule.publish(200, polled=False, silent_at=215)
    assert schedule.due_at(moved=False) == 215


async def test_messages_take_their_time_over_all_boards() -> None:
    turns = Turns(0.002)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await turns.take(50)
    assert loop.time() - began < 0.1
    await asyncio.gather(*(turns.take(50) for _ in range(4)))
    assert loop.time() - began >= 0.39


@given(
    today=st.dates(date(1970, 1, 1), date(2200, 1, 1)),
    days=st.integers(0, 800),
    window=st.sampled_from(Window),
    course=st.sampled_from(["", "c", "a.b:c"]),
)
def test_the_board_of_the_present_period_wakes_those_who_asked_for_no_period(
    today: date, days: int, window: Window, course: str
) -> None:
    board = Board("xp", course, window, period_of(window, today))
    moving = Asked(board, moves_on=window is not Window.ALL_TIME)
    later = moving.on(today + timedelta(days=days))
    assert later.period == period_of(window, today + timedelta(days=days))
    assert moving.key in (later.name, current_key(later.name))
    fixed = Asked(board, moves_on=False)
    assert fixed.on(today + timedelta(days=days)) == board
    assert fixed.key == board.name
    assert (fixed.key == moving.key) == (window is Window.ALL_TIME)
