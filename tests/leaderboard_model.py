"""Boards as lists that are sorted: what every answer must equal."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from leaderboard_service.domain.answer import Entry
from leaderboard_service.domain.fold import Profile


def ranking(
    scores: Mapping[str, int], profiles: Mapping[str, Profile] | None = None
) -> list[Entry]:
    """The whole board: users above zero who are not hidden, with competition ranks."""
    known = profiles or {}
    shown = [
        (-score, user)
        for user, score in scores.items()
        if score > 0 and not (user in known and known[user].hidden)
    ]
    shown.sort()
    negated = [score for score, _ in shown]
    return [
        Entry(1 + bisect_left(negated, score), user, -score, *_shown(user, known.get(user)))
        for score, user in shown
    ]


def _shown(user: str, profile: Profile | None) -> tuple[str, str]:
    return (profile.display_name or user, profile.avatar_url) if profile else (user, "")


def around(board: Sequence[Entry], user: str, count: int) -> list[Entry]:
    """`count` entries with the user in the middle, or as near as the ends allow."""
    index = next((i for i, entry in enumerate(board) if entry.user_id == user), None)
    if index is None:
        return []
    first = max(0, min(index - count // 2, len(board) - count))
    return list(board[first : first + count])
