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
    """Asks each part for its own users, who bring their scores, and then for what it has not
    counted of the scores of all: with one part there is nothing left.
    """
    batches = [_Batch(reading, ask) for ask in asks]
    questions = [question for batch in batches for question in batch.first_questions()]
    answers = iter(await reading.ask(script, questions))
    for batch in batches:
        batch.take(islice(answers, len(reading.parts)))
    rest = [(batch, part, spots) for batch in batches for part, spots in batch.not_counted()]
    if rest:
        left = [(part, batch.question(spots=spots)) for batch, part, spots in rest]
        counts = await reading.ask(script, left)
        for (batch, part, spots), counted in zip(rest, counts, strict=True):
            batch.add(part, spots, counted)
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

    def not_counted(self) -> list[tuple[int, list[Spot]]]:
        """The spots that parts are yet to be asked about."""
        if len(self._before) == 1:
            return []
        wanted = merge.spots_to_ask(self._lines, self._ask.mode)
        left = (
            (part, [spot for spot in wanted if spot not in counted])
            for part, counted in enumerate(self._before)
        )
        return [(part, spots) for part, spots in left if spots]

    def add(self, part: int, spots: Sequence[Spot], answer: Any) -> None:
        """The answer of a part about these spots."""
        self._answers.append(answer)
        if isinstance(answer, list):
            self._before[part].update(zip(spots, answer[3], strict=True))

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
