"""Which boards are compared with PostgreSQL together."""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

GROUP_STANDINGS = 50_000
"""Boards are taken together up to about so many standings, one snapshot for all of them."""
GROUP_BOARDS = 200
"""What is read of a hidden user is read of every board of the group, in one script."""
SLICE_STANDINGS = 200_000
"""A larger board is compared in slices by user, so that a comparison holds no more than about
so many standings (some 60 MB)."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of all users, picked by a hash of the id: number `number` of so many slices."""

    number: int = 0
    of: int = 1

    def holds(self, user_id: str) -> bool:
        """Whether the user is of this slice. Independent of the part that the user is in."""
        return self.of == 1 or (crc32(user_id.encode()) >> 16) % self.of == self.number


EVERYONE = Slice()


@dataclass(frozen=True, slots=True)
class Group:
    """Boards, by name, and the users whose standings on them are compared."""

    boards: tuple[str, ...]
    standings: int
    """About how many there are of them."""
    users: Slice = EVERYONE


def groups_of(counts: Mapping[str, int]) -> list[Group]:
    """Every board in one group, or in as many as it has slices; `counts` is about how many
    standings each has.
    """
    groups: list[Group] = []
    boards: list[str] = []
    standings = 0
    for board, count in sorted(counts.items()):
        if count > SLICE_STANDINGS:
            groups += _slices(board, count)
            continue
        if boards and (standings + count > GROUP_STANDINGS or len(boards) >= GROUP_BOARDS):
            groups.append(Group(tuple(boards), standings))
            boards, standings = [], 0
        boards.append(board)
        standings += count
    if boards:
        groups.append(Group(tuple(boards), standings))
    return groups


def _slices(board: str, count: int) -> list[Group]:
    slices = -(-count // SLICE_STANDINGS)
    return [Group((board,), count // slices, Slice(number, slices)) for number in range(slices)]
