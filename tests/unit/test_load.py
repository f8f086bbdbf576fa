"""How much a process does at once: never more than its bound, and a little for administrators."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from shared.errors import DeadlineExceeded, ResourceExhausted
from shared.identity import Role
from shared.load import RESERVE, Load, check_in_time

BOUND = 5


def full(load: Load, role: Role) -> ResourceExhausted:
    with pytest.raises(ResourceExhausted) as caught:
        load.begin(role)
    return caught.value


@given(st.lists(st.sampled_from([*Role, None]), max_size=100))
def test_there_are_never_more_than_the_bound_and_the_reserve_is_administrators(
    steps: list[Role | None],
) -> None:
    """None: one ends."""
    load = Load("tests", BOUND)
    for role in steps:
        before = load.under_way
        if role is None:
            if before:
                load.end()
                assert load.under_way == before - 1
            continue
        if before < BOUND + (RESERVE if role is Role.ADMIN else 0):
            load.begin(role)
            assert load.under_way == before + 1
        else:
            full(load, role)
            assert load.under_way == before


def test_a_refusal_says_the_bound_and_when_to_come_again_not_all_at_one_time() -> None:
    load = Load("streams", BOUND)
    for _ in range(BOUND):
        load.begin(Role.SERVICE)
    refusals = [full(load, Role.USER) for _ in range(20)]
    assert {one.reason for one in refusals} == {"SERVER_BUSY"}
    assert refusals[0].metadata == {"bound": "5", "of": "streams"}
    delays = {one.retry_delay_s or 0.0 for one in refusals}
    assert len(delays) > 10
    assert 0.5 <= min(delays) <= max(delays) <= 1.5


def test_it_is_told_once_that_there_is_no_room_and_once_that_there_is_again() -> None:
    load = Load("calls", BOUND)
    with capture_logs() as logs:
        for _ in range(3):
            for _ in range(BOUND):
                load.begin(Role.USER)
            for _ in range(10):
                full(load, Role.USER)
                load.end()  # Room for one, which is taken at once.
                load.begin(Role.USER)
            for _ in range(BOUND):
                load.end()
    told = [one["event"] for one in logs]
    assert told == ["this server is full", "this server has room again"] * 3


def test_only_a_deadline_that_has_passed_ends_a_call() -> None:
    check_in_time(None)
    check_in_time(0.001)
    with pytest.raises(DeadlineExceeded):
        check_in_time(0.0)
