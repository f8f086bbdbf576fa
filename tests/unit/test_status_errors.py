"""Typed errors as google.rpc.Status and back: nothing of them is lost on the way."""

import grpc
import pytest
from grpc import aio
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.errors import FieldViolation, LaurelError
from shared.status import CODES, DETAILS_KEY, error_from_rpc, status_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def sent(error: LaurelError) -> aio.AioRpcError:
    """The error as a client's stub raises it."""
    status = status_of(error)
    trailing = aio.Metadata(("other", "x"), (DETAILS_KEY, status.SerializeToString()))
    return aio.AioRpcError(CODES[type(error)], aio.Metadata(), trailing, status.message)


@given(
    st.sampled_from(list(CODES)),
    st.from_regex(r"[A-Z][A-Z_]{0,20}", fullmatch=True),
    TEXT.filter(bool),
    st.dictionaries(TEXT, TEXT, max_size=3),
    st.lists(st.builds(FieldViolation, TEXT, TEXT), max_size=3),
    st.none() | st.integers(0, 60_000).map(lambda ms: ms / 1_000),
)
def test_an_error_comes_back_as_it_was_raised(
    kind: type[LaurelError],
    reason: str,
    message: str,
    metadata: dict[str, str],
    violations: list[FieldViolation],
    retry_delay_s: float | None,
) -> None:
    error = kind(
        reason, message, metadata=metadata, violations=violations, retry_delay_s=retry_delay_s
    )
    back = error_from_rpc(sent(error))
    assert type(back) is kind
    assert (back.reason, back.message) == (reason, message)
    assert (back.metadata, back.violations) == (metadata, tuple(violations))
    assert back.retry_delay_s == retry_delay_s


def test_every_kind_of_error_has_a_status_of_its_own() -> None:
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, LaurelError) and kind is not LaurelError
    }
    assert kinds == CODES.keys()
    assert len({*CODES.values()}) == len(CODES)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, errors.Unavailable),
        (grpc.StatusCode.CANCELLED, errors.Unavailable),
    ],
)
def test_a_status_without_details_has_its_name_as_reason(
    code: grpc.StatusCode, kind: type[LaurelError]
) -> None:
    back = error_from_rpc(aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), "gone"))
    assert (type(back), back.reason, back.message) == (kind, code.name, "gone")


def test_the_message_of_invalid_fields_names_the_first_five() -> None:
    many = [FieldViolation(f"f{n}", "is wrong") for n in range(9)]
    error = errors.invalid_fields(many)
    assert error.violations == tuple(many)
    assert error.message == "; ".join(f"f{n}: is wrong" for n in range(5))
