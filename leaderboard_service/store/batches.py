"""The ranks of many users on one board, told from what all parts count."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from leaderboard_service.domain import merge
from leaderboard_service.domain.answer import ListAnswer
from leaderboard_service.domain.merge import Line, Spot
from leaderboard_service.domain.question import BatchAsk
from leaderboard_service.store.client import Script
from leaderboard_service.store.decode import entries
from leaderboard_service.store.reading import Packed, Reading, Refusal


async def read_batches(
    reading: Reading, script: Script, asks: Sequence[BatchAsk]
) -> list[ListAnswer | Refusal]:
    """Asks each part for its own users, who bring their scores, and then every part for all those
    scores: with one part there is nothing left to ask.
    """
    batches = [_Batch(reading, ask) for ask in asks]
    questions = [question for batch in batches for question in batch.first_questions()]
    answers = iter(await reading.ask(script, questions))
    for batch in batches:
        batch.take(islice(answers, len(reading.parts)))
    left = [batch for batch in batches if batch.spots]
    if left:
        asked = [batch.question(spots=batch.spots) for batch in left]
        by_part = await reading.ask_each(script, reading.parts, asked)
        for batch, *counts in zip(left, *by_part, strict=True):
            batch.add(counts)
    return [batch.outcome() for batch in batches]


class _Batch:
    """What is known of one ask: by part, how many entries are before each spot."""

    def __init__(self, reading: Reading, ask: BatchAsk) -> None:
        self._reading = reading
        self._ask = ask
        self._answers: list[Any] = []
        self._lines: list[Line] = []
        self._total = 0
        self._before: list[dict[Spot, int]] = []
        self.spots: list[Spot] = []
        """Of which some parts have not counted yet how many entries are before."""

    def question(self, users: Sequence[str] = (), spots: Sequence[Spot] = ()) -> Packed:
        """See batch.lua."""
        flat = [text for score, user_id in spots for text in (str(score), user_id)]
        return (self._ask.board.name, self._ask.mode, users, flat)

    def first_questions(self) -> list[tuple[int, Packed]]:
        """One for each part, about its own users."""
        if len(self._reading.parts) == 1:
            return [(0, self.question(self._ask.user_ids))]
        shares: list[list[str]] = [[] for _ in self._reading.parts]
        for user_id in self._ask.user_ids:
            shares[self._reading.part_of(user_id)].append(user_id)
        return [(part, self.question(users)) for part, users in enumerate(shares)]

    def take(self, answers: Iterable[Any]) -> None:
        """The answers to the first questions."""
        self._answers = list(answers)
        if self._refusal() is not None:
            return
        mode = self._ask.mode
        for total, found, profiles, _ in self._answers:
            lines = list(map(Line, map(int, found[1::3]), found[::3], profiles))
            counted = zip(merge.spots(lines, mode), found[2::3], strict=True)
            self._before.append(dict(counted))
            self._lines += lines
            self._total += total
        self._lines.sort()
        if len(self._before) > 1:
            self.spots = merge.spots_to_ask(self._lines, mode)

    def add(self, answers: Sequence[Any]) -> None:
        """The answers of all parts about the spots; of its own users a part has told already."""
        self._answers += answers
        if self._refusal() is None:
            self._before = [
                dict(zip(self.spots, answer[3], strict=True)) | known
                for answer, known in zip(answers, self._before, strict=True)
            ]

    def outcome(self) -> ListAnswer | Refusal:
        """The entries of those who are on the board, best first."""
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        distinct = self._reading.distinct(self._ask.board)
        numbered = merge.batch(self._lines, self._ask.mode, self._before, distinct)
        return ListAnswer(self._reading.stamp, self._total, entries(numbered))

    def _refusal(self) -> Refusal | None:
        return self._reading.refusal(self._ask.board, self._answers)
