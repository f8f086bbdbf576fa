"""Reading what is watched: one page for all tops of a board, and batches for all users."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from leaderboard_service.boards import Boards, Need
from leaderboard_service.domain.answer import Entry, Stamp
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import BatchAsk, TopAsk
from leaderboard_service.watching.messages import Rank, Subject, Top
from leaderboard_service.watching.turns import Turns
from shared.rank_mode import RankMode

_BATCH = 500
# Reading a rank costs about half of what sending a message does.
_RANKS_PER_MESSAGE = 2
# What one read from PostgreSQL may take: a watch can wait, but not for long without a word.
_NEED = Need(remaining=lambda: 2.5)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a subject: its entries on the board, at one position."""

    board: Board
    stamp: Stamp
    total: int
    entries: tuple[Entry, ...]


async def read(
    boards: Boards, turns: Turns, board: Board, subjects: Collection[Subject]
) -> dict[Subject, Reading]:
    """Each subject's reading. Raises what `boards` does."""
    readings: dict[Subject, Reading] = {}
    tops = [subject for subject in subjects if isinstance(subject, Top)]
    if tops:
        most = max(top.count for top in tops)
        ask = TopAsk(board, RankMode.COMPETITION, most)
        page = await boards.top(ask, _NEED)
        for top in tops:
            entries = page.page.entries[: top.count]
            readings[top] = Reading(board, page.stamp, page.total, entries)
    for ranks in _batches([subject for subject in subjects if isinstance(subject, Rank)]):
        await turns.take(len(ranks) // _RANKS_PER_MESSAGE)
        users = tuple(rank.user_id for rank in ranks)
        found = await boards.batch(BatchAsk(board, RankMode.COMPETITION, users), _NEED)
        entry_of = {entry.user_id: entry for entry in found.entries}
        for rank in ranks:
            entry = entry_of.get(rank.user_id)
            entries = () if entry is None else (entry,)
            readings[rank] = Reading(board, found.stamp, found.total, entries)
    return readings


def _batches(ranks: list[Rank]) -> Iterator[list[Rank]]:
    for start in range(0, len(ranks), _BATCH):
        yield ranks[start : start + _BATCH]
