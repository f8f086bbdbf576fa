"""Page tokens of the lists that ProgressService keeps: signed, and bound to their list."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import FieldViolation, InvalidInput
from shared.signed_token import Signer

_KIND = "list page 3"
_NUMBERS = range(2**63)


@dataclass(frozen=True, slots=True)
class ListToken:
    """Where a page ended: after `key`, when the history ended at `epoch` and `sequence`.

    `write_time`: of the row that has the key, where that is a number; aware.
    """

    key: str | int
    epoch: str
    sequence: int
    write_time: datetime | None = None


def encode(signer: Signer, list_name: str, filters: tuple[str, ...], last: ListToken) -> str:
    """A token that continues after `last` of the list with these filters."""
    written = last.write_time.astimezone(UTC).isoformat() if last.write_time else ""
    return signer.sign(
        _KIND, [list_name, list(filters), last.key, last.epoch, last.sequence, written]
    )


def decode(
    signer: Signer, token: str, list_name: str, filters: tuple[str, ...]
) -> ListToken | None:
    """What `encode` was given; None for an empty token.

    Raises InvalidInput (INVALID_PAGE_TOKEN) for a token that is forged or of another list.
    """
    if not token:
        return None
    try:
        parts = signer.open(_KIND, token)
    except ValueError:
        raise foreign() from None
    match parts:
        case [str(name), list(bound), *place] if (name, tuple(bound)) == (list_name, filters):
            return _place(place)
    raise foreign()


def _place(parts: list[object]) -> ListToken:
    match parts:
        case [str(key), str(epoch), int(sequence), ""] if sequence in _NUMBERS:
            return ListToken(key, epoch, sequence)
        case [int(key), str(epoch), int(sequence), str(written)] if (
            key in _NUMBERS and sequence in _NUMBERS
        ):
            with suppress(ValueError, OverflowError):
                return ListToken(
                    key, epoch, sequence, datetime.fromisoformat(written).astimezone(UTC)
                )
    raise foreign()


def foreign() -> InvalidInput:
    """The error (INVALID_PAGE_TOKEN) about a text that is no token of this list."""
    text = "is not of this list"
    return InvalidInput(
        "INVALID_PAGE_TOKEN",
        f"page_token {text}",
        violations=(FieldViolation("page_token", text),),
    )
