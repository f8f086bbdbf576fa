"""What boards must hold at a position, and what of Redis differs from it. No I/O."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard_service.changes import UnknownChange, steps_of
from leaderboard_service.domain.board import BoardNames, Floors, board_name
from leaderboard_service.domain.expected import Difference, Expected, Kind, stranger
from leaderboard_service.domain.groups import (
    GROUP_BOARDS,
    GROUP_STANDINGS,
    SLICE_STANDINGS,
    Group,
    Slice,
    groups_of,
)
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window
from tests.history_fold import BoardName, Folded

NAMES = BoardNames(Floors("", "", "", ""))
USERS = ["a", "B", "c"]
DAYS = ["2026-11-20", "2026-11-19", "2025-12-31"]
BOARDS: list[BoardName] = [
    ("xp", "", 1, ""),
    ("xp", "c", 1, ""),
    ("xp", "", 4, "2026-W47"),
    ("marks", "", 5, "2026-11-20"),
    ("xp", "", 2, "2025"),
]
GROUP = Group(tuple(board_name(m, c, Window(w), p) for m, c, w, p in BOARDS), 0)
EVEN, ODD = Slice(0, 2), Slice(1, 2)


def message(board: BoardName) -> types_pb2.Board:
    metric, course, window, period = board
    return types_pb2.Board(
        metric=metric, course_id=course, window=types_pb2.Window.ValueType(window), period=period
    )


users = st.sampled_from(USERS)
boards = st.sampled_from(BOARDS)
credits_ = st.builds(
    pb.XpDelta,
    user_id=users,
    metric=st.sampled_from(["xp", "xp", "marks"]),
    amount=st.integers(-9, 20),
    course_id=st.sampled_from(["", "c"]),
    occurred_date=st.sampled_from(DAYS),
    windows=st.sampled_from([[], [types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_WEEK]]),
    excluded_boards=st.lists(boards.map(message), max_size=2),
)
changes_ = st.one_of(
    *[st.builds(pb.Change, xp_delta=credits_)] * 4,
    st.builds(
        pb.Change, profile_change=st.builds(pb.ProfileChange, user_id=users, hidden=st.booleans())
    ),
    st.builds(pb.Change, user_erasure=st.builds(pb.UserErasure, user_id=users)),
    st.builds(pb.Change, window_reset=st.builds(pb.WindowReset, board=boards.map(message))),
    st.builds(
        pb.Change,
        standing_correction=st.builds(
            pb.StandingCorrection,
            board=boards.map(message),
            user_id=users,
            score=st.integers(0, 50),
        ),
    ),
    st.just(pb.Change(redaction=pb.Redaction())),
)


def numbered(changes: Sequence[pb.Change]) -> list[pb.Change]:
    """As a history has them: a profile comes before what is credited or corrected."""
    found: list[pb.Change] = []
    known: set[str] = set()
    for change in changes:
        user = change.xp_delta.user_id or change.standing_correction.user_id
        if user and user not in known:
            found.append(pb.Change(profile_change=pb.ProfileChange(user_id=user)))
            known.add(user)
        known.discard(change.user_erasure.user_id)
        known.add(change.profile_change.user_id)
        found.append(copy.deepcopy(change))
    for number, change in enumerate(found, 1):
        change.sequence = number
    return found


def snapshot(folded: Folded, group: Group = GROUP) -> Expected:
    expected = Expected(group)
    for board, scores in folded.counted.items():
        for user, score in scores.items():
            hidden = folded.profiles[user].hidden
            expected.load(
                board_name(*board[:2], Window(board[2]), board[3]), user, score, hidden=hidden
            )
    return expected


@given(st.lists(changes_, max_size=30), st.data())
def test_moved_along_the_history_it_is_what_plain_sums_come_to(
    drawn: list[pb.Change], data: st.DataObject
) -> None:
    changes = numbered(drawn)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(changes)), min_size=3, max_size=3)))
    folded = Folded()
    for change in changes[: cuts[0]]:
        folded.apply(change)
    expected = snapshot(folded)
    known = {user for board in BOARDS for user in folded.counted.get(board, {})}
    for start, end in pairwise(cuts):
        for step in steps_of(changes[start:end], NAMES):
            expected.apply(step)
        for change in changes[start:end]:
            folded.apply(change)
            known.discard(change.user_erasure.user_id)
            known |= {change.profile_change.user_id} & set(USERS)
        for board, name in zip(BOARDS, GROUP.boards, strict=True):
            for user in USERS:
                due = expected.due(name, user)
                assert due.score == max(folded.scores[board].get(user, 0), 0)
                hidden = folded.profiles[user].hidden if user in known else None
                assert due.hidden == hidden
            positive = {user for user, score in folded.scores[board].items() if score > 0}
            assert set(expected.unseen(name, {"a"})) == positive - {"a"}


def test_a_change_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownChange):
        list(steps_of([pb.Change(sequence=7)], NAMES))


BOARD = GROUP.boards[0]


@pytest.fixture
def expected() -> Expected:
    found = Expected(GROUP)
    found.load(BOARD, "shown", 50, hidden=False)
    found.load(BOARD, "hidden", 40, hidden=True)
    found.scores[BOARD]["heard"] = 30
    return found


def test_what_is_where_it_must_be_is_right(expected: Expected) -> None:
    assert expected.listed(BOARD, "shown", 50.0) is None
    assert expected.kept(BOARD, "hidden", 40.0) is None
    assert expected.looked_up(BOARD, "shown", 50.0, 0) is None
    assert expected.looked_up(BOARD, "hidden", 0, 40.0) is None
    assert expected.looked_up(BOARD, "nobody", 0, 0) is None


def test_of_one_who_may_be_hidden_either_place_is_right(expected: Expected) -> None:
    assert expected.listed(BOARD, "heard", 30.0) is None
    assert expected.kept(BOARD, "heard", 30.0) is None
    assert expected.looked_up(BOARD, "heard", 30.0, 0) is None
    assert expected.looked_up(BOARD, "heard", 0, 30.0) is None
    found = expected.looked_up(BOARD, "heard", 0, 0)
    assert found == Difference(Kind.MISSING, BOARD, "heard", 30, 0)


@pytest.mark.parametrize(
    ("user", "score", "kind", "due", "found"),
    [
        ("shown", 49.0, Kind.SCORE, 50, 49),
        ("shown", 50.5, Kind.SCORE, 50, 50),
        ("shown", -50.0, Kind.SCORE, 50, -50),
        ("shown", float("inf"), Kind.SCORE, 50, 2**63 - 1024),
        ("hidden", 40.0, Kind.HIDDEN, 0, 40),
        ("nobody", 1.0, Kind.EXTRA, 0, 1),
        ("nobody", 0.0, Kind.EXTRA, 0, 0),
    ],
)
def test_who_is_on_the_board_and_must_not_or_not_so_differs(
    expected: Expected, user: str, score: float, kind: Kind, due: int, found: int
) -> None:
    assert expected.listed(BOARD, user, score) == Difference(kind, BOARD, user, due, found)


@pytest.mark.parametrize(
    ("user", "score", "due", "found"),
    [
        ("hidden", 41.0, 40, 41),
        ("shown", 50.0, 0, 50),
        ("nobody", 2.0, 0, 2),
        ("heard", nan, 30, 0),
    ],
)
def test_what_is_kept_beside_the_board_and_must_not_or_not_so_differs(
    expected: Expected, user: str, score: float, due: int, found: int
) -> None:
    difference = Difference(Kind.HIDDEN, BOARD, user, due, found)
    assert expected.kept(BOARD, user, score) == difference


@pytest.mark.parametrize(
    ("user", "on_board", "kept", "kind", "due", "found"),
    [
        ("shown", 0, 0, Kind.MISSING, 50, 0),
        ("shown", 0, 50, Kind.MISSING, 50, 0),
        ("shown", 7, 0, Kind.SCORE, 50, 7),
        ("hidden", 0, 0, Kind.HIDDEN, 40, 0),
        ("hidden", 40, 0, Kind.HIDDEN, 40, 0),
        ("nobody", 3, 0, Kind.EXTRA, 0, 3),
    ],
)
def test_who_is_looked_up_and_not_there_differs(
    expected: Expected, user: str, on_board: float, kept: float, kind: Kind, due: int, found: int
) -> None:
    difference = Difference(kind, BOARD, user, due, found)
    assert expected.looked_up(BOARD, user, on_board, kept) == difference


def test_one_in_a_part_of_others_has_no_standing_there() -> None:
    assert stranger(BOARD, "shown", 50.0) == Difference(Kind.EXTRA, BOARD, "shown", 0, 50)


@given(st.dictionaries(st.integers(0, 5000).map(str), st.integers(0, 500_000), max_size=400))
def test_every_board_is_in_one_group_or_in_all_slices_and_no_group_is_large(
    counts: dict[str, int],
) -> None:
    groups = groups_of(counts)
    seen = [board for group in groups for board in group.boards if group.users.number == 0]
    assert sorted(seen) == sorted(counts)
    for group in groups:
        assert len(group.boards) <= GROUP_BOARDS
        assert group.standings <= SLICE_STANDINGS
        assert len(group.boards) == 1 or group.standings <= GROUP_STANDINGS
        slices = [other.users for other in groups if other.boards == group.boards]
        assert [one.number for one in slices] == list(range(group.users.of))


@given(st.integers(1, 9), st.text(min_size=1, max_size=20))
def test_every_user_is_in_one_slice(of: int, user: str) -> None:
    assert sum(Slice(number, of).holds(user) for number in range(of)) == 1


def test_users_of_other_slices_are_left_out() -> None:
    user = "ann"
    own, other = (EVEN, ODD) if EVEN.holds(user) else (ODD, EVEN)
    changes = numbered(
        [pb.Change(xp_delta=pb.XpDelta(user_id=user, metric="xp", amount=5, occurred_date=DAYS[0]))]
    )
    for slice_, score in ((own, 12), (other, 0)):
        expected = Expected(Group((BOARD,), 1, slice_))
        expected.load(BOARD, user, 7, hidden=False)
        for step in steps_of(changes, NAMES):
            expected.apply(step)
        assert expected.due(BOARD, user).score == score
