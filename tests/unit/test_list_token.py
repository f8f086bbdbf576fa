"""Page tokens of lists: they go on where their own list stopped, and nowhere else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.servicers import list_token
from progress_service.servicers.list_token import ListToken
from shared.errors import InvalidInput
from shared.signed_token import Signer
from tests.signing import SIGNER

IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
PRINTED = st.text(st.characters(exclude_categories=["C"]), max_size=100)
FILTERS = st.lists(PRINTED, max_size=3).map(tuple)
LAST = ListToken("ann", "00000000-0000-0000-0000-000000000001", 7)
NUMBERS = st.integers(0, 2**63 - 1)
TIMES = st.datetimes(timezones=st.just(UTC))


@given(IDS, FILTERS, NUMBERS)
def test_a_token_names_the_id_after_which_to_go_on(
    key: str, filters: tuple[str, ...], sequence: int
) -> None:
    last = ListToken(key, LAST.epoch, sequence)
    token = list_token.encode(SIGNER, "users", filters, last)
    assert list_token.decode(SIGNER, token, "users", filters) == last


@given(NUMBERS, TIMES)
def test_a_token_of_a_numbered_list_names_a_number_and_its_time(key: int, time: datetime) -> None:
    last = ListToken(key, LAST.epoch, 7, time)
    token = list_token.encode(SIGNER, "attempts", ("ann",), last)
    assert list_token.decode(SIGNER, token, "attempts", ("ann",)) == last


@pytest.mark.parametrize(
    "parts",
    [
        ("ann", "e"),
        ("ann", "e", 7),
        (1, "e", 7, ""),
        (1, "e", 7, "yesterday"),
        (-1, "e", 7, "2026-03-05T12:00:00+00:00"),
        ("ann", "e", -1, ""),
        ("ann", "e", 2**63, ""),
        (2**63, "e", 7, "2026-03-05T12:00:00+00:00"),
        (1, "e", 7, "0001-01-01T00:00:00+23:59"),
        ("ann", "e", "7", ""),
        ("ann", "e", 7, "2026-03-05T12:00:00+00:00"),
    ],
)
def test_a_token_with_other_parts_is_refused(parts: tuple[object, ...]) -> None:
    assert refused(SIGNER.sign("list page 3", ["users", ["an"], *parts]))


def test_no_token_is_the_first_page() -> None:
    assert list_token.decode(SIGNER, "", "users", ()) is None


def refused(token: str, list_name: str = "users", filters: tuple[str, ...] = ("an",)) -> bool:
    with pytest.raises(InvalidInput) as caught:
        list_token.decode(SIGNER, token, list_name, filters)
    return caught.value.reason == "INVALID_PAGE_TOKEN"


def test_a_token_of_another_list_or_filter_is_refused() -> None:
    token = list_token.encode(SIGNER, "users", ("an",), LAST)
    assert refused(token, list_name="courses")
    assert refused(token, filters=("b",))
    assert refused(token, filters=())
    assert refused(token, filters=("an", ""))


def test_a_token_that_another_secret_signed_is_refused() -> None:
    assert refused(list_token.encode(Signer("another"), "users", ("an",), LAST))


@given(st.text(min_size=1, max_size=40))
def test_text_that_is_no_token_is_refused(text: str) -> None:
    assert refused(text)
