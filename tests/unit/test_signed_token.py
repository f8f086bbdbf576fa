"""Signed tokens: what was signed comes back, and nothing else is taken for it."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import page_token
from shared.errors import InvalidInput
from shared.page_token import PageToken
from shared.signed_token import MAX_CHARS, Signer
from tests.signing import SECRET, SIGNER

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)
PARTS = st.lists(VALUES, max_size=5)
IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
BOARD = "xp//all_time/"


def opens(signer: Signer, kind: str, token: str) -> bool:
    try:
        signer.open(kind, token)
    except ValueError:
        return False
    return True


@given(st.text(max_size=10), PARTS)
def test_what_was_signed_comes_back(kind: str, parts: list[object]) -> None:
    token = SIGNER.sign(kind, parts)
    assert SIGNER.open(kind, token) == parts
    assert token == Signer(SECRET).sign(kind, parts)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(PARTS, st.data())
def test_a_token_with_one_character_changed_is_none(
    parts: list[object], data: st.DataObject
) -> None:
    token = SIGNER.sign("a", parts)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda one: one != token[at]))
    assert not opens(SIGNER, "a", token[:at] + other + token[at + 1 :])


@given(PARTS, st.integers(1, 40), st.text(min_size=1, max_size=5))
def test_a_token_cut_short_or_lengthened_is_none(parts: list[object], cut: int, more: str) -> None:
    token = SIGNER.sign("a", parts)
    assert not opens(SIGNER, "a", token[:-cut])
    assert not opens(SIGNER, "a", token + more)


@given(st.text(max_size=100))
def test_any_other_text_is_none(text: str) -> None:
    assert not opens(SIGNER, "a", text)


def test_a_token_of_another_kind_or_secret_is_none() -> None:
    token = SIGNER.sign("a", [1])
    assert opens(SIGNER, "a", token)
    assert not opens(SIGNER, "b", token)
    assert not opens(Signer(SECRET + "."), "a", token)


def test_tokens_are_bounded() -> None:
    assert len(SIGNER.sign("a", ["x" * (MAX_CHARS // 2)])) <= MAX_CHARS
    with pytest.raises(ValueError, match="too long"):
        SIGNER.sign("a", ["x" * MAX_CHARS])
    assert not opens(SIGNER, "a", "A" * 100_000_000)


PLACES = st.builds(PageToken, st.just("") | IDS, st.integers(0), st.integers(1, 2**53 - 1), IDS)


@given(last=PLACES)
def test_a_page_token_says_after_whom_to_go_on(last: PageToken) -> None:
    token = page_token.encode(SIGNER, BOARD, 1, last)
    assert page_token.decode(SIGNER, token, BOARD, 1) == last


def unsigned(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "%%%%",
        "ö",
        "W" * 5000,
        unsigned(BOARD, 1, "e", 7, 5, "a"),
        unsigned("0123456789abcdef", BOARD, 1, "e", 7, 5, "a"),
        Signer("another secret").sign("board page 4", [BOARD, 1, "e", 7, 5, "a"]),
        SIGNER.sign("list page 2", [BOARD, 1, "e", 5, "a"]),
        page_token.encode(SIGNER, "xp//year/2026", 1, PageToken("e", 7, 5, "a")),
        page_token.encode(SIGNER, BOARD, 2, PageToken("e", 7, 5, "a")),
    ],
)
def test_any_other_page_token_is_invalid(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        page_token.decode(SIGNER, token, BOARD, 1)
    assert caught.value.reason == "INVALID_PAGE_TOKEN"
    assert [violation.field for violation in caught.value.violations] == ["page_token"]
