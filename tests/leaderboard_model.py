"""Boards as lists that are sorted: what every answer must equal."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from leaderboard_service.domain.answer import Entry
from leaderboard_service.domain.fold import Profile
from shared.rank_mode import RankMode


def ranking(
    scores: Mapping[str, int],
    profiles: Mapping[str, Profile] | None = None,
    mode: RankMode = RankMode.COMPETITION,
) -> list[Entry]:
    """The whole board: users above zero who are not hidden, numbered as the mode says."""
    known = profiles or {}
    shown = [
        (-score, user)
        for user, score in scores.items()
        if score > 0 and not (user in known and known[user].hidden)
    ]
    shown.sort()
    ranks = _ranks([score for score, _ in shown], mode)
    return [
        Entry(rank, user, -score, *_shown(user, known.get(user)))
        for rank, (score, user) in zip(ranks, shown, strict=True)
    ]


def _ranks(negated: Sequence[int], mode: RankMode) -> list[int]:
    match mode:
        case RankMode.COMPETITION:
            return [1 + bisect_left(negated, score) for score in negated]
        case RankMode.DENSE:
            distinct = sorted(set(negated))
            return [1 + distinct.index(score) for score in negated]
        case RankMode.ORDINAL:
            return list(range(1, 1 + len(negated)))


def _shown(user: str, profile: Profile | None) -> tuple[str, str]:
    return (profile.display_name or user, profile.avatar_url) if profile else (user, "")


def around(board: Sequence[Entry], user: str, count: int) -> list[Entry]:
    """`count` entries with the user in the middle, or as near as the ends allow."""
    index = next((i for i, entry in enumerate(board) if entry.user_id == user), None)
    if index is None:
        return []
    first = max(0, min(index - count // 2, len(board) - count))
    return list(board[first : first + count])
