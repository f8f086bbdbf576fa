"""Page tokens of the lists that ProgressService keeps: signed, and bound to their list."""

from dataclasses import dataclass

from shared.errors import FieldViolation, InvalidInput
from shared.signed_token import Signer

_KIND = "list page 3"


@dataclass(frozen=True, slots=True)
class ListToken:
    """Where a page ended: after `key`, when the history ended at `epoch` and `sequence`.

    `write_time`: of the row that has the key, of lists whose keys are numbers.
    """

    key: str
    epoch: str
    sequence: int
    write_time: str = ""

    @property
    def number(self) -> int:
        """The key of a list whose keys are numbers."""
        return int(self.key)


def encode(signer: Signer, list_name: str, filters: tuple[str, ...], last: ListToken) -> str:
    """A token that continues after `last` of the list with these filters."""
    place = [last.key, last.epoch, last.sequence, last.write_time]
    return signer.sign(_KIND, [list_name, list(filters), *place])


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
        raise _foreign() from None
    match parts:
        case [str(name), list(bound), str(key), str(epoch), int(sequence), str(write_time)]:
            if (name, tuple(bound)) == (list_name, filters):
                return ListToken(key, epoch, sequence, write_time)
    raise _foreign()


def _foreign() -> InvalidInput:
    text = "is not of this list"
    return InvalidInput(
        "INVALID_PAGE_TOKEN",
        f"page_token {text}",
        violations=(FieldViolation("page_token", text),),
    )
