"""What is wrong with a submission or an award, field by field."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from progress_service.domain import award as awards
from progress_service.domain.award import Award
from progress_service.domain.bounds import MAX_SCORE, is_plain_text
from progress_service.domain.course import Course, Level, Section, UnlockMode
from progress_service.domain.submission import (
    Submission,
    check_level,
    check_request,
)
from shared.errors import InvalidInput, LaurelError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

ATTEMPT = Submission("ann", "l0", 5, 10, 1_000, "r1")

AWARD = Award("ann", "xp", 5, "challenge", "", "", "r1")


def course(*levels: Level, mode: UnlockMode = UnlockMode.OPEN) -> Course:
    return Course("c", "C", mode, (Section("s", "", levels),), version=1)


def violations(check: LaurelError) -> list[str]:
    return [violation.field for violation in check.violations]


def refusal(submission: Submission | Award) -> LaurelError:
    check: Any = check_request if isinstance(submission, Submission) else awards.check_request
    with pytest.raises(InvalidInput) as caught:
        check(submission, NOW)
    return caught.value


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"correct_answers": None}, ["correct_answers"]),
        ({"correct_answers": -1}, ["correct_answers"]),
        ({"correct_answers": 11}, ["correct_answers"]),
        ({"total_questions": 0, "correct_answers": 0}, ["total_questions"]),
        ({"total_questions": -1}, ["total_questions", "correct_answers"]),
    ],
)
def test_a_score_alone_that_is_wrong_is_an_invalid_score(
    wrong: Mapping[str, object], fields: list[str]
) -> None:
    error = refusal(replace(ATTEMPT, **wrong))  # type: ignore[arg-type]
    assert error.reason == "INVALID_SCORE"
    assert violations(error) == fields


def test_every_wrong_field_is_named_at_once() -> None:
    error = refusal(Submission("", "a b", None, 0, -1, "", NOW + timedelta(days=1)))
    assert error.reason == "INVALID_FIELD"
    assert violations(error) == [
        "user_id",
        "level_id",
        "request_id",
        "time_spent",
        "occurred_time",
        "total_questions",
        "correct_answers",
    ]


@pytest.mark.parametrize("request_id", ["", " ", "a b", "é", "a\n", "x" * 129, "\x7f"])
def test_a_request_id_is_1_to_128_printable_ascii_characters(request_id: str) -> None:
    assert violations(refusal(replace(ATTEMPT, request_id=request_id))) == ["request_id"]
    check_request(replace(ATTEMPT, request_id="~" * 128), NOW)


def test_five_minutes_ahead_is_the_most_that_a_clock_may_be_wrong() -> None:
    ahead = NOW + timedelta(minutes=5)
    check_request(replace(ATTEMPT, occurred_time=ahead), NOW)
    late = replace(ATTEMPT, occurred_time=ahead + timedelta(microseconds=1))
    assert violations(refusal(late)) == ["occurred_time"]


def test_nothing_occurred_before_the_year_2000() -> None:
    first = datetime(2000, 1, 1, tzinfo=UTC)
    check_request(replace(ATTEMPT, occurred_time=first), NOW)
    early = replace(ATTEMPT, occurred_time=first - timedelta(microseconds=1))
    assert violations(refusal(early)) == ["occurred_time"]


def test_an_attempt_takes_at_most_366_days() -> None:
    longest = 366 * 86_400_000
    check_request(replace(ATTEMPT, time_spent_ms=longest), NOW)
    assert violations(refusal(replace(ATTEMPT, time_spent_ms=longest + 1))) == ["time_spent"]


def test_a_level_with_a_question_count_takes_no_other_total() -> None:
    counted = course(Level("l0", question_count=10))
    check_level(ATTEMPT, counted)
    with pytest.raises(InvalidInput) as caught:
        check_level(replace(ATTEMPT, total_questions=9), counted)
    assert caught.value.reason == "INVALID_SCORE"
    assert violations(caught.value) == ["total_questions"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"metric": "a/b"}, "metric"),
        ({"source": ""}, "source"),
        ({"source": "level"}, "source"),
        ({"course_id": "a b"}, "course_id"),
        ({"reference": "x" * 129}, "reference"),
        ({"reference": "a\x00"}, "reference"),
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": MAX_SCORE + 1}, "amount"),
        ({"request_id": ""}, "request_id"),
        ({"occurred_time": NOW + timedelta(minutes=6)}, "occurred_time"),
    ],
)
def test_what_is_wrong_with_an_award_is_named(wrong: Mapping[str, object], field: str) -> None:
    error = refusal(replace(AWARD, **wrong))  # type: ignore[arg-type]
    assert (error.reason, violations(error)) == ("INVALID_FIELD", [field])


CHANGED = {
    "user_id": "bob",
    "level_id": "l1",
    "correct_answers": 6,
    "total_questions": 11,
    "time_spent_ms": 1_001,
    "occurred_time": NOW,
    "without_xp": True,
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_fingerprint_tells_contents_apart_and_not_request_ids(name: str) -> None:
    changed = replace(ATTEMPT, **{name: CHANGED[name]})  # type: ignore[arg-type]
    assert changed.fingerprint() != ATTEMPT.fingerprint()
    assert replace(ATTEMPT, request_id="r2").fingerprint() == ATTEMPT.fingerprint()


@pytest.mark.parametrize("text", ["Ann", "李\u3000明", "👩\u200d🔬", "क\u094d\u200dष", "", "🫪"])
def test_names_may_be_written_in_any_script(text: str) -> None:
    assert is_plain_text(text, 10)


@pytest.mark.parametrize("text", ["a\x00", "a\nb", "\x1b[2J", "a\u2028b", "x" * 11])
def test_control_characters_and_overlong_texts_are_no_names(text: str) -> None:
    assert not is_plain_text(text, 10)
