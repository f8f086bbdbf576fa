"""Page tokens of lists: they go on where their own list stopped, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.servicers import list_token
from progress_service.servicers.list_token import ListToken
from shared.errors import InvalidInput
from shared.signed_token import Signer
from tests.signing import SIGNER

IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
FILTERS = st.lists(st.text(max_size=100), max_size=3).map(tuple)


LAST = ListToken("ann", "00000000-0000-0000-0000-000000000001", 7)


@given(IDS, FILTERS, st.integers(0, 2**63 - 1))
def test_a_token_names_where_to_go_on(key: str, filters: tuple[str, ...], sequence: int) -> None:
    last = ListToken(key, LAST.epoch, sequence, "2026-03-05T12:00:00.000001+00:00")
    token = list_token.encode(SIGNER, "users", filters, last)
    assert list_token.decode(SIGNER, token, "users", filters) == last


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
