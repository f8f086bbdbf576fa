"""What the parts of a board say, put together: each part knows its own users alone.

Scores are negated throughout, so that the order of (score, user id) is the board's, best first:
user ids are ASCII. Where dense ranks are asked for, `distinct` are the different scores of all
parts in order, whole from the best to any score that is looked up.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shared.rank_mode import RankMode


class Line(NamedTuple):
    """An entry as its part gives it; `profile` and `also` are passed on."""

    negated: int
    user_id: str
    profile: str | None = None
    also: tuple[int, ...] = ()


Numbered = list[tuple[int, Line]]
"""Lines with their ranks, best first."""

Spot = tuple[int, str]
"""What parts count the entries before: a score, and for ordinal ranks a user."""


class Place(NamedTuple):
    """Where a score stands in a part, whether its user is in it or not."""

    total: int
    before: int
    """Entries with a higher score; for ordinal ranks all that are listed before the user's."""
    lower: int
    following: int | None
    """The next higher score there."""


class Standing(NamedTuple):
    """Where a score stands on the board; `missing` to the next higher one, 0 for the best."""

    total: int
    rank: int
    lower: int
    missing: int


class Stretch(NamedTuple):
    """Consecutive entries of a part, some of them before a certain place and some after."""

    total: int
    place: int
    """Entries before the place."""
    first: int
    """Entries before the first line, `place` at most."""
    better: int
    """Entries with a higher score than the first line, if that is before the place, and else
    than the score of the place. Only read for competition ranks.
    """
    lines: list[Line]

    def better_than(self, score: int, of_place: int) -> int:
        """Entries with a higher score than the board's first line; the place has `of_place`.

        What is not listed lies before the part's own first line, and so does not lie below that
        score: it is higher, unless the two scores are equal.
        """
        begins_with = self.lines[0].negated if self.first < self.place else of_place
        if begins_with == score:
            return self.better
        return self.first + bisect_left(self.lines, (score,))


def union(lists: Sequence[Sequence[int]]) -> Sequence[int]:
    """The different scores of several ordered lists, in order."""
    return lists[0] if len(lists) == 1 else sorted(set().union(*lists))


def dense_rank(score: int, distinct: Sequence[int]) -> int:
    """One more than the number of different higher scores."""
    return bisect_left(distinct, score) + 1


def standing(
    score: int, mode: RankMode, places: Iterable[Place], distinct: Sequence[int]
) -> Standing:
    """Where a user with that score stands."""
    total = before = lower = 0
    following = None
    for of_total, of_before, of_lower, of_following in places:
        total += of_total
        before += of_before
        lower += of_lower
        if of_following is not None and (following is None or of_following > following):
            following = of_following
    rank = dense_rank(score, distinct) if mode == RankMode.DENSE else before + 1
    return Standing(total, rank, lower, 0 if following is None else score - following)


def spots(lines: Sequence[Line], mode: RankMode) -> list[Spot]:
    """What decides the rank of each of these entries."""
    if mode == RankMode.ORDINAL:
        return [(negated, user_id) for negated, user_id, _, _ in lines]
    return [(line[0], "") for line in lines]


def spots_to_ask(lines: Sequence[Line], mode: RankMode) -> list[Spot]:
    """What every part must have been asked about, for ranks of these entries, best first; dense
    ranks are told from the distinct scores down to the last.
    """
    if mode == RankMode.DENSE:
        lines = lines[-1:]
    return list(dict.fromkeys(spots(lines, mode)))


def batch(
    lines: Sequence[Line],
    mode: RankMode,
    before: Sequence[Mapping[Spot, int]],
    distinct: Sequence[int],
) -> Numbered:
    """These entries with their ranks; `before` is what each part counted of their spots."""
    if mode == RankMode.DENSE:
        return [(dense_rank(line.negated, distinct), line) for line in lines]
    of_lines = spots(lines, mode)
    counts = before[0]
    if len(before) > 1:
        counts = {spot: sum(counted[spot] for counted in before) for spot in set(of_lines)}
    return [(counts[spot] + 1, line) for spot, line in zip(of_lines, lines, strict=True)]


def page(
    parts: Sequence[Stretch],
    size: int,
    after: int | None,
    mode: RankMode,
    distinct: Sequence[int],
) -> Numbered:
    """The first entries after a place with the score `after` (None: the top), of parts that list
    what they have from there on.
    """
    lines = _in_order(parts)[:size]
    if not lines:
        return []
    score = lines[0].negated
    first = sum(part.first for part in parts)
    if mode == RankMode.DENSE:
        rank = dense_rank(score, distinct)
    elif score == after:
        rank = 1 + sum(part.better for part in parts)
    else:
        rank = 1 + first
    return _numbered(lines, mode, first, rank)


def around(
    parts: Sequence[Stretch], count: int, score: int, mode: RankMode, distinct: Sequence[int]
) -> Numbered:
    """`count` entries with the place, where that score stands, in the middle, or as near as the
    board's ends allow; of parts that list what may be needed.
    """
    place = sum(part.place for part in parts)
    total = sum(part.total for part in parts)
    first = max(min(place - count // 2, total - count), 0)
    listed = _in_order(parts)
    before_place = sum(part.place - part.first for part in parts)
    begin = before_place - (place - first)
    lines = listed[begin : begin + count]
    score_of_first = lines[0].negated
    if mode == RankMode.DENSE:
        scores = [line.negated for line in listed]
        rank = dense_rank(score_of_first, union([distinct, scores]))
    else:
        rank = 1 + sum(part.better_than(score_of_first, score) for part in parts)
    return _numbered(lines, mode, first, rank)


def _in_order(parts: Sequence[Stretch]) -> list[Line]:
    if len(parts) == 1:
        return parts[0].lines
    return sorted(line for part in parts for line in part.lines)


def _numbered(lines: Sequence[Line], mode: RankMode, first: int, rank: int) -> Numbered:
    """Consecutive lines, with `first` entries before them, and the rank of the first one."""
    if mode == RankMode.ORDINAL:
        return list(enumerate(lines, first + 1))
    numbered = []
    previous = lines[0].negated
    for index, line in enumerate(lines, first + 1):
        if line.negated != previous:
            rank = rank + 1 if mode == RankMode.DENSE else index
            previous = line.negated
        numbered.append((rank, line))
    return numbered
