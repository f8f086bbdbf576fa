from datetime import timedelta

import pytest

from progress_service.domain.plausibility import Plausibility
from progress_service.settings import ProgressSettings

URL = "postgresql://localhost/laurel"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7 days, 0:00:00", timedelta(days=7)),
        ("P7D", timedelta(days=7)),
        ("PT36H", timedelta(days=1, hours=12)),
        ("01:00:00", timedelta(hours=1)),
        ("PT0S", timedelta()),
    ],
)
def test_how_late_users_may_report_is_said_in_several_ways(
    monkeypatch: pytest.MonkeyPatch, text: str, found: timedelta
) -> None:
    monkeypatch.setenv("LAUREL_MAX_LATE", text)
    assert ProgressSettings(postgres_url=URL).max_late == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LAUREL_MAX_LATE", "-P1D"),
        ("LAUREL_MAX_LATE", "7"),
        ("LAUREL_MAX_LATE", "a week"),
        ("LAUREL_MAX_ATTEMPTS_PER_DAY", "-1"),
        ("LAUREL_MAX_XP_PER_DAY", str(2**53)),
        ("LAUREL_MAX_FLAGGED_ATTEMPTS", "-1"),
        ("LAUREL_SELF_GRADED", "maybe"),
    ],
)
def test_a_bound_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match=name.removeprefix("LAUREL_").lower()):
        ProgressSettings(postgres_url=URL)


def test_attempts_are_bounded_unless_the_settings_say_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LAUREL_MAX_ATTEMPTS_PER_MINUTE", "LAUREL_MAX_ATTEMPTS_PER_DAY"):
        monkeypatch.delenv(name)
    found = ProgressSettings(postgres_url=URL)
    assert found.plausibility == Plausibility(60, 5_000, 0, 0, found.zone, 20)
    assert (found.create_users, found.self_graded, found.max_late.days) == (False, "accept", 7)
