"""Page tokens of lists: they go on where their own list stopped, and nowhere else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress_service.servicers import list_token
from shared.errors import InvalidInput

IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
FILTERS = st.lists(st.text(max_size=100), max_size=3).map(tuple)


@given(IDS, FILTERS)
def test_a_token_names_the_key_after_which_to_go_on(key: str, filters: tuple[str, ...]) -> None:
    token = list_token.encode("users", filters, key)
    assert list_token.decode(token, "users", filters) == key
    assert token.isascii()


@given(st.integers(0, 10**18 - 1))
def test_a_token_of_a_numbered_list_names_a_number(key: int) -> None:
    token = list_token.encode("attempts", ("ann",), str(key))
    assert list_token.decode_number(token, "attempts", ("ann",)) == key


def test_no_token_is_the_first_page() -> None:
    assert list_token.decode("", "users", ()) == ""
    assert list_token.decode_number("", "attempts", ()) is None


def refused(token: str, list_name: str = "users", filters: tuple[str, ...] = ("an",)) -> bool:
    with pytest.raises(InvalidInput) as caught:
        list_token.decode(token, list_name, filters)
    return caught.value.reason == "INVALID_PAGE_TOKEN"


def test_a_token_of_another_list_or_filter_is_refused() -> None:
    token = list_token.encode("users", ("an",), "ann")
    assert refused(token, list_name="courses")
    assert refused(token, filters=("b",))
    assert refused(token, filters=())
    assert refused(token, filters=("an", ""))


def forged(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "document",
    [
        None,
        1,
        "text",
        {},
        [],
        [1, "users", ["an"]],
        [2, "users", ["an"], "ann"],
        [1, "users", "an", "ann"],
        [1, "users", None, "ann"],
        [1, "users", ["an"], ""],
        [1, "users", ["an"], 7],
        [1, "users", ["an"], "a\x00b"],
        [1, "users", ["an"], "x" * 65],
    ],
)
def test_a_token_of_another_form_is_refused(document: object) -> None:
    assert refused(forged(document))


@given(st.text(max_size=40))
def test_text_that_is_no_token_is_refused(text: str) -> None:
    assert text == "" or refused(text)


def test_a_token_that_would_exhaust_the_parser_is_refused() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 1_000).decode().rstrip("=")
    assert refused(nested)
    assert refused(nested * 100)


@pytest.mark.parametrize("key", ["ann", "-1", "1.5", "9" * 19])
def test_a_numbered_list_refuses_a_key_that_is_no_number_of_its_own(key: str) -> None:
    with pytest.raises(InvalidInput):
        list_token.decode_number(list_token.encode("attempts", (), key), "attempts", ())
