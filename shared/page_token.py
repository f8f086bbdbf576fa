"""Page tokens of boards, the same in both services: a list begun on one store goes on on the other.

A token is signed, bound to its board and rank mode, and says after whom to go on. The position in
it is that of the answer which it came with: a token outlives tenures of the sequencer, but it is of
one history, and of nothing that a restore to the past has undone.
"""

from dataclasses import dataclass

from shared.errors import FieldViolation, InvalidInput
from shared.signed_token import Signer

_KIND = "board page 4"


@dataclass(frozen=True, slots=True)
class PageToken:
    """After whom the next page begins; `epoch` and `sequence` say as of when."""

    epoch: str
    sequence: int
    score: int
    user_id: str


def encode(signer: Signer, board: str, rank_mode: int, last: PageToken) -> str:
    """The token of the page after `last`; `board` is its full name."""
    place = [last.epoch, last.sequence, last.score, last.user_id]
    return signer.sign(_KIND, [board, rank_mode, *place])


def decode(signer: Signer, token: str, board: str, rank_mode: int) -> PageToken:
    """What `encode` was given. Raises InvalidInput (INVALID_PAGE_TOKEN) for anything else, and
    for a token of another board or rank mode. The position is for the caller to judge.
    """
    try:
        parts = signer.open(_KIND, token)
    except ValueError:
        raise _invalid("is not a page token of this service") from None
    match parts:
        case [str(of_board), int(of_mode), str(epoch), int(sequence), int(score), str(user_id)]:
            if (of_board, of_mode) == (board, rank_mode):
                return PageToken(epoch, sequence, score, user_id)
    raise _invalid("belongs to another board or rank mode")


def of_another_history() -> InvalidInput:
    """The error (INVALID_PAGE_TOKEN) about a token, of any list, that is not of this history."""
    return _invalid("belongs to another history: begin at the first page")


def _invalid(description: str) -> InvalidInput:
    return InvalidInput(
        "INVALID_PAGE_TOKEN",
        f"page_token {description}",
        violations=(FieldViolation("page_token", description),),
    )
