"""How equal scores are numbered. Pure."""

from enum import IntEnum


class RankMode(IntEnum):
    """The contract's modes, with its numbers. In each, equal scores are listed by user id."""

    COMPETITION = 1
    """1, 1, 3: one more than the users with a higher score."""
    DENSE = 2
    """1, 1, 2: one more than the distinct higher scores."""
    ORDINAL = 3
    """1, 2, 3: the place in the list."""
