"""What parts of a board say, put together, is what a sorted list of all users says. No I/O."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from leaderboard_service.domain import merge
from leaderboard_service.domain.merge import Line, Place, Spot, Stretch
from shared.rank_mode import RankMode
from tests.leaderboard_model import around, ranking

USERS = ["a", "B", "b", "a.b", "a-b", "A_b", "z", "Z9", "10", "9", "u:1", "u:10"]

# Few distinct scores, so that ties are common, within parts and across them.
_scores = st.integers(0, 4)
_shares = st.integers(1, 5).flatmap(
    lambda parts: st.fixed_dictionaries(
        {user: st.tuples(_scores, st.integers(0, parts - 1)) for user in USERS}
    ).map(lambda users: _split(users, parts))
)
_modes = st.sampled_from(RankMode)


@dataclass
class Part:
    """What a script says of some of a board's users."""

    lines: list[Line]

    def place(self, score: int, user: str, mode: RankMode) -> Place:
        scores = [line.negated for line in self.lines]
        better = bisect_left(scores, score)
        before = bisect_left(self.lines, (score, user)) if mode == RankMode.ORDINAL else better
        following = scores[better - 1] if better else None
        return Place(len(scores), before, len(scores) - bisect_right(scores, score), following)

    def page(self, after: Spot | None, size: int) -> Stretch:
        first = sum(line[:2] <= after for line in self.lines) if after else 0
        better = bisect_left(self.lines, after[:1]) if after else 0
        lines = self.lines[first : first + size]
        return Stretch(len(self.lines), first, first, better, lines)

    def around(self, score: int, user: str, count: int) -> Stretch:
        """As many lines on each side as may be needed, and no more."""
        total = len(self.lines)
        place = bisect_left(self.lines, (score, user))
        rest = total - place
        up = min(place, max(count // 2, count - rest))
        down = min(rest, count - min(place, count // 2))
        lines = self.lines[place - up : place + down]
        first_score = lines[0].negated if up else score
        better = bisect_left(self.lines, (first_score,))
        return Stretch(total, place, place - up, better, lines)

    def walk(self, score: int) -> list[int]:
        """The distinct scores from the best to the first that is not higher than this one."""
        distinct = sorted({line.negated for line in self.lines})
        return distinct[: bisect_left(distinct, score) + 1]


def _split(users: dict[str, tuple[int, int]], parts: int) -> list[Part]:
    """Users by score and part; with 0 they are not on the board."""
    shares: list[list[Line]] = [[] for _ in range(parts)]
    for user, (score, part) in users.items():
        if score:
            shares[part].append(Line(-score, user))
    return [Part(sorted(share)) for share in shares]


def _all(parts: Sequence[Part]) -> dict[str, int]:
    return {line.user_id: -line.negated for part in parts for line in part.lines}


def _walked(parts: Sequence[Part], score: int) -> Sequence[int]:
    return merge.union([part.walk(score) for part in parts])


def _rows(numbered: merge.Numbered) -> list[tuple[int, str, int]]:
    return [(rank, line.user_id, -line.negated) for rank, line in numbered]


def _board(parts: Sequence[Part], mode: RankMode) -> list[tuple[int, str, int]]:
    return [entry[:3] for entry in ranking(_all(parts), mode=mode)]


@given(parts=_shares, mode=_modes)
def test_a_standing_is_the_sum_of_what_all_parts_count(parts: list[Part], mode: RankMode) -> None:
    board = _board(parts, mode)
    for rank, user, score in board:
        places = [part.place(-score, user, mode) for part in parts]
        found = merge.standing(-score, mode, places, _walked(parts, -score))
        higher = [other for _, _, other in board if other > score]
        assert found == (
            len(board),
            rank,
            sum(other < score for _, _, other in board),
            min(higher) - score if higher else 0,
        )


@given(parts=_shares, mode=_modes, asked=st.sets(st.sampled_from(USERS)))
def test_a_batch_has_the_ranks_of_the_whole_board(
    parts: list[Part], mode: RankMode, asked: set[str]
) -> None:
    lines = sorted(line for part in parts for line in part.lines if line.user_id in asked)
    spots = merge.spots_to_ask(lines, mode)
    counts = [{spot: part.place(*spot, mode).before for spot in spots} for part in parts]
    distinct = _walked(parts, spots[-1][0]) if spots else ()
    found = _rows(merge.batch(lines, mode, counts, distinct))
    assert found == [row for row in _board(parts, mode) if row[1] in asked]


@given(
    parts=_shares,
    mode=_modes,
    after=st.none() | st.tuples(_scores, st.sampled_from(USERS)),
    size=st.integers(1, 6),
)
def test_a_page_goes_on_after_a_place_whoever_stands_there(
    parts: list[Part], mode: RankMode, after: tuple[int, str] | None, size: int
) -> None:
    place = (-after[0], after[1]) if after else None
    score = place[0] if place else None
    found = merge.page(
        [part.page(place, size) for part in parts],
        size,
        score,
        mode,
        () if score is None else _walked(parts, score),
    )
    rest = [row for row in _board(parts, mode) if place is None or (-row[2], row[1]) > place]
    assert _rows(found) == rest[:size]


@given(parts=_shares, mode=_modes, count=st.integers(1, 13))
def test_around_a_user_are_those_who_are_around_on_the_whole_board(
    parts: list[Part], mode: RankMode, count: int
) -> None:
    board = ranking(_all(parts), mode=mode)
    for entry in board:
        score = -entry.score
        stretches = [part.around(score, entry.user_id, count) for part in parts]
        # Each part walks no further than to its own first line.
        firsts = [
            stretch.lines[0].negated if stretch.first < stretch.place else score
            for stretch in stretches
        ]
        walks = [part.walk(first) for part, first in zip(parts, firsts, strict=True)]
        found = merge.around(stretches, count, score, mode, merge.union(walks))
        assert _rows(found) == [near[:3] for near in around(board, entry.user_id, count)]
        assert all(len(stretch.lines) <= count for stretch in stretches)


@given(parts=_shares, count=st.integers(1, 13))
def test_a_part_that_is_alone_lists_just_what_is_wanted(parts: list[Part], count: int) -> None:
    lines = sorted(line for part in parts for line in part.lines)
    for line in lines:
        stretch = Part(lines).around(line.negated, line.user_id, count)
        board = ranking(_all(parts))
        wanted = [entry.user_id for entry in around(board, line.user_id, count)]
        assert [listed.user_id for listed in stretch.lines] == wanted
