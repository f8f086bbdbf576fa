"""How the users of a board are numbered; scores 50, 50, 30 are an example below."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.rank_mode import RankMode


class Above(NamedTuple):
    """What comes before one user of a board: users with a higher score, users before in the
    list, and distinct higher scores (None where no one asks for dense ranks).
    """

    users: int
    listed: int
    scores: int | None = None


def rank_of(above: Above, mode: RankMode) -> int:
    """The rank of a user with this above."""
    if mode is RankMode.ORDINAL:
        return above.listed + 1
    if mode is RankMode.COMPETITION:
        return above.users + 1
    if above.scores is None:
        raise AssertionError("a dense rank needs the distinct scores above")
    return above.scores + 1


def consecutive_ranks(scores: Sequence[int], above: Above, mode: RankMode) -> list[int]:
    """The ranks of users who follow one another in the list; `above`: what the first has."""
    if not scores:
        return []
    ranks = [rank_of(above, mode)]
    for offset in range(1, len(scores)):
        tied = scores[offset] == scores[offset - 1]
        if mode is RankMode.DENSE:
            ranks.append(ranks[-1] if tied else ranks[-1] + 1)
        elif mode is RankMode.COMPETITION and tied:
            ranks.append(ranks[-1])
        else:
            ranks.append(above.listed + offset + 1)
    return ranks
