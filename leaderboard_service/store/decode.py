"""What the scripts answer about the parts of a board, as answers about the board."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from leaderboard_service.domain import merge
from leaderboard_service.domain.answer import Entry, ListAnswer, Page, RankAnswer, TopAnswer
from leaderboard_service.domain.merge import Line, Place, Standing, Stretch
from leaderboard_service.domain.question import AroundAsk, RankAsk, TopAsk
from leaderboard_service.store.keys import unpack_profile
from leaderboard_service.store.reading import Reading

Raw = Sequence[Any]
"""A part's answer to one ask: see the Lua scripts."""


def rank_answer(reading: Reading, ask: RankAsk, raws: Sequence[Raw]) -> RankAnswer:
    """Of `standing` from each part, the user's own first."""
    own = raws[0]
    if len(own) == 1:
        return RankAnswer(reading.stamp, sum(raw[0] for raw in raws), None, 0, 0)
    score = int(own[4])
    found = _standing(reading, ask, score, raws)
    name, avatar_url = _profile(ask.user_id, own[5])
    entry = Entry(found.rank, ask.user_id, -score, name, avatar_url)
    return RankAnswer(reading.stamp, found.total, entry, found.lower, found.missing)


def around_answer(reading: Reading, ask: AroundAsk, raws: Sequence[Raw]) -> ListAnswer:
    """Of what around.lua gives for each part, the user's own first."""
    total = sum(raw[0] for raw in raws)
    if len(raws[0]) == 1:
        return ListAnswer(reading.stamp, total, ())
    numbered = merge.around(
        [Stretch(raw[0], raw[1], raw[2], raw[3], read_lines(raw[5], raw[6])) for raw in raws],
        ask.count,
        int(raws[0][4]),
        ask.mode,
        reading.distinct(ask.board),
    )
    return ListAnswer(reading.stamp, total, entries(numbered))


def page(reading: Reading, ask: TopAsk, raws: Sequence[Raw]) -> Page:
    """Of what top.lua gives for each part."""
    parts = [
        Stretch(raw[0], raw[3], raw[3], raw[4], read_lines(raw[5], raw[6], raw[7])) for raw in raws
    ]
    after = -ask.after.score if ask.after else None
    numbered = merge.page(parts, ask.size, after, ask.mode, reading.distinct(ask.board))
    read = sum(part.first for part in parts) + len(numbered)
    return Page(entries(numbered), more=read < sum(part.total for part in parts))


def top_answer(
    reading: Reading, ask: TopAsk, raws: Sequence[Raw], page: Page, standings: Sequence[Raw]
) -> TopAnswer:
    """Of what top.lua gives for each part, and `standing` of the added user from each, the own
    part first; none when that user is not on the board.
    """
    user = None
    if standings:
        score, packed = int(standings[0][4]), standings[0][5]
        also = next(raw[2] for raw in raws if raw[1])
        user = Entry(
            _standing(reading, ask, score, standings).rank,
            ask.user_id,
            -score,
            *_profile(ask.user_id, packed),
            tuple(_positive(scores[0]) for scores in also),
        )
    return TopAnswer(reading.stamp, sum(raw[0] for raw in raws), page, user)


def read_lines(
    found: Sequence[str], profiles: Sequence[str | None], also: Sequence[Sequence[str | None]] = ()
) -> list[Line]:
    """Of the three values of `lines`."""
    scores: Iterable[tuple[int, ...]] = repeat(())
    if also:
        scores = zip(*(map(_positive, of_board) for of_board in also), strict=True)
    return list(map(Line, map(int, found[1::2]), found[::2], profiles, scores))


def entries(numbered: merge.Numbered) -> tuple[Entry, ...]:
    """Lines as they are shown."""
    return tuple(
        Entry(rank, user_id, -negated, *_profile(user_id, packed), also)
        for rank, (negated, user_id, packed, also) in numbered
    )


def _standing(reading: Reading, ask: RankAsk | TopAsk, score: int, raws: Sequence[Raw]) -> Standing:
    places = [
        Place(raw[0], raw[1], raw[2], None if raw[3] is None else int(raw[3])) for raw in raws
    ]
    return merge.standing(score, ask.mode, places, reading.distinct(ask.board))


def _positive(negated: str | None) -> int:
    return 0 if negated is None else -int(negated)


def _profile(user_id: str, packed: str | None) -> tuple[str, str]:
    """Name and avatar; the user id stands for a name that is empty or not known."""
    if packed is None:
        return user_id, ""
    name, avatar_url = unpack_profile(packed)
    return name or user_id, avatar_url
