from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.domain.plausibility import Admitted, Bound, Plausibility, Velocity
from shared.errors import ResourceExhausted

ZONE = ZoneInfo("Asia/Jakarta")
NOON = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
LIMITS = st.sampled_from([0, 1, 2, 5])
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 20, 61, 3_600, 40_000, 90_000]).map(lambda s: timedelta(seconds=s)),
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
    ),
    max_size=30,
)


def limits(minute: int = 0, day: int = 0, xp_minute: int = 0, xp_day: int = 0) -> Plausibility:
    return Plausibility(minute, day, xp_minute, xp_day, ZONE)


def counted(given: Plausibility, *moments: datetime, xp: int = 0) -> Velocity:
    """What is stored after awards at these moments."""
    velocity: Velocity | None = None
    for moment in moments:
        velocity = given.at(moment).of_award(velocity, xp).velocity
    assert velocity is not None
    return velocity


@given(st.tuples(LIMITS, LIMITS, LIMITS, LIMITS), STEPS)
def test_what_is_admitted_is_what_a_count_of_everything_so_far_allows(
    most: tuple[int, int, int, int], steps: list[tuple[timedelta, int, bool, bool]]
) -> None:
    given_ = limits(*most)
    found: Counter[object] = Counter()
    stored: Velocity | None = None
    now = NOON
    for pause, xp, is_award, too_quick in steps:
        now += pause
        minute, day = now.replace(second=0), now.astimezone(ZONE).date()
        full = any(
            0 < limit <= found[key] for limit, key in zip(most[:2], (minute, day), strict=True)
        )
        beyond = any(
            limit and xp and found["xp", key] + xp > limit
            for limit, key in zip(most[2:], (minute, day), strict=True)
        )
        try:
            if is_award:
                admitted = given_.at(now).of_award(stored, xp)
            else:
                admitted = given_.at(now).of_attempt(stored, xp, too_quick=too_quick)
        except ResourceExhausted:
            assert full or (is_award and beyond)
            continue
        assert not full
        assert (admitted.held is not None) == (not is_award and (too_quick or beyond))
        stored = admitted.velocity
        for key in (minute, day):
            found[key] += 1
            found["xp", key] += 0 if admitted.held else xp


def test_nothing_is_counted_where_nothing_is_bounded() -> None:
    assert limits().at(NOON).of_award(None, 5) == Admitted(None)
    assert limits().at(NOON).of_attempt(None, 5, too_quick=False) == Admitted(None)
    held = limits().at(NOON).of_attempt(None, 5, too_quick=True)
    assert held == Admitted(None, Bound.MIN_TIME_SPENT)


def test_a_refusal_says_which_bound_and_when_it_ends() -> None:
    full = counted(limits(2), NOON, NOON)
    with pytest.raises(ResourceExhausted) as refused:
        limits(2).at(NOON).of_attempt(full, 0, too_quick=False)
    error = refused.value
    assert (error.reason, error.retry_delay_s) == ("VELOCITY_EXCEEDED", 30)
    assert error.metadata == {"bound": "attempts_per_minute", "limit": "2"}
    # Midnight in Jakarta is at 17:00 UTC.
    with pytest.raises(ResourceExhausted) as refused:
        limits(0, 2).at(NOON).of_award(full, 0)
    assert refused.value.retry_delay_s == 5 * 3600 - 30
    assert refused.value.metadata["bound"] == "attempts_per_day"


def test_an_award_that_is_too_much_by_itself_is_not_told_to_come_again() -> None:
    of_ten = limits(0, 0, 10)
    for xp, delay in ((6, 30), (11, None)):
        with pytest.raises(ResourceExhausted) as refused:
            of_ten.at(NOON).of_award(counted(of_ten, NOON, xp=5), xp)
        assert refused.value.retry_delay_s == delay


def test_what_is_held_back_leaves_room_for_what_is_not() -> None:
    given_ = limits(0, 0, 50)
    held = given_.at(NOON).of_attempt(None, 51, too_quick=False)
    assert held.held is Bound.XP_PER_MINUTE
    assert held.velocity
    assert (held.velocity.minute_count, held.velocity.minute_xp) == (1, 0)
    assert given_.at(NOON).of_attempt(held.velocity, 50, too_quick=False).held is None


def test_windows_of_a_replica_whose_clock_is_ahead_are_counted_on() -> None:
    ahead = counted(limits(1, 1), NOON + timedelta(minutes=1))
    with pytest.raises(ResourceExhausted):
        limits(1).at(NOON).of_award(ahead, 0)
    assert limits(2).at(NOON).of_award(ahead, 0).velocity == ahead.plus(0)


def test_a_clock_that_was_far_ahead_once_bounds_nobody_for_long() -> None:
    far = counted(limits(1, 1), NOON + timedelta(days=40))
    assert limits(1, 1).at(NOON).of_award(far, 0).velocity == counted(limits(1, 1), NOON)
