"""What the answers about a board must be, given the board: one rule for each method.

Each rule yields what is compared: its name, what it must be, and what it is. The first pair that
differs is what is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.standing import Line, View, spelled_out

Compared = Iterator[tuple[str, Any, Any]]
PAGE_SIZE, MAX_PAGE_SIZE = 50, 500
AROUND, MAX_AROUND = 11, 101
WATCHED, MAX_WATCHED = 10, 100
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Asked:
    """A request, with what its page token stands for: score and user of the line before."""

    request: Any
    after: tuple[int, str] | None = None
    said: list[Line] = field(default_factory=list)
    """Of a watch: the lines in the message before."""


Rule = Callable[[View, Asked, Any], Compared]


def lines(entries: Sequence[Any]) -> list[Line]:
    """Entries or standings as lines."""
    return [
        (one.rank, one.user_id, one.score, one.display_name or one.user_id, one.avatar_url)
        for one in entries
    ]


def difference(rule: Rule, view: View, asked: Asked, response: Any) -> str:
    """The first thing that is not as it must be; "" when all is."""
    for name, expected, found in rule(view, asked, response):
        if expected != found:
            return f"{name} must be {expected!r}, is {found!r}"
    return ""


def _size(asked: int, default: int, most: int) -> int:
    return min(asked or default, most)


def _one(response: Any, name: str) -> list[Line]:
    return lines([getattr(response, name)]) if response.HasField(name) else []


def _page(board: list[Line], asked: Asked, size: int) -> tuple[list[Line], bool]:
    """The lines after those that were given, and whether there are more."""
    rest = board
    if asked.after is not None:
        score, user_id = asked.after
        rest = [line for line in board if (-line[2], line[1]) > (-score, user_id)]
    return rest[:size], len(rest) > size


def _around(board: list[Line], user_id: str, count: int) -> tuple[list[Line], bool]:
    users = [line[1] for line in board]
    if user_id not in users:
        return [], False
    first = max(min(users.index(user_id) - count // 2, len(board) - count), 0)
    return board[first : first + count], first + count < len(board)


def _also(view: View, boards: Sequence[Any], entries: Sequence[Any]) -> Compared:
    """Of each other board, that some period of it has all the scores."""
    for number, board in enumerate(boards):
        found = [(one.user_id, one.also_scores[number : number + 1]) for one in entries]
        fitting = any(
            all(list(scores) == [_score(view, name, user_id)] for user_id, scores in found)
            for name in view.periods_of(board)
        )
        yield f"also_scores[{number}] of a period", True, fitting or found
    for one in entries:
        yield "also_scores", len(boards), len(one.also_scores)


def _score(view: View, name: Any, user_id: str) -> int:
    return max(view.folded.scores.get(name, {}).get(user_id, 0), 0)


def top(view: View, asked: Asked, response: Any) -> Compared:
    request = asked.request
    board = view.lines(request.rank_mode)
    size = _size(request.page_size, PAGE_SIZE, MAX_PAGE_SIZE)
    page, more = _page(board, asked, size)
    yield "total_users", len(board), response.state.total_users
    yield "entries", page, lines(response.entries)
    yield "next_page_token given", more, bool(response.next_page_token)
    wanted = view.line(request.user_id, request.rank_mode) if request.user_id else []
    yield "user_entry", wanted, _one(response, "user_entry")
    metric, course_id, _, _ = spelled_out(request.board)
    others = [
        type(request.board)(metric=metric, course_id=course_id, window=window)
        for window in request.also_windows
    ]
    user = [response.user_entry] if response.HasField("user_entry") else []
    yield from _also(view, others, [*response.entries, *user])


def rank(view: View, asked: Asked, response: Any) -> Compared:
    user_id = asked.request.user_id
    wanted = view.line(user_id, asked.request.rank_mode)
    yield "total_users", len(view.rows), response.state.total_users
    yield "entry", wanted, _one(response, "entry")
    to_next = view.to_next(user_id) if wanted else 0
    share = 100 * view.below(user_id) / len(view.rows) if wanted else 0.0
    yield "score_to_next_rank", to_next, response.score_to_next_rank
    near = abs(share - response.percentile) < _TOLERANCE
    yield "percentile", share, share if near else response.percentile


def around(view: View, asked: Asked, response: Any) -> Compared:
    request = asked.request
    board = view.lines(request.rank_mode)
    yield "total_users", len(board), response.state.total_users
    count = _size(request.count, AROUND, MAX_AROUND)
    yield "entries", _around(board, request.user_id, count)[0], lines(response.entries)


def batch(view: View, asked: Asked, response: Any) -> Compared:
    request = asked.request
    board = view.lines(request.rank_mode)
    wanted = [line for line in board if line[1] in request.user_ids]
    yield "total_users", len(board), response.state.total_users
    yield "entries", wanted, lines(response.entries)
    ranked = {line[1] for line in wanted}
    rest = [one for one in dict.fromkeys(request.user_ids) if one not in ranked]
    yield "unranked_user_ids", rest, list(response.unranked_user_ids)


def standings(view: View, asked: Asked, response: Any) -> Compared:
    request = asked.request
    board = view.lines(request.rank_mode)
    size = _size(request.page_size, PAGE_SIZE, MAX_PAGE_SIZE)
    page, more = _page(board, asked, size)
    if request.around_user_id:
        page, more = _around(board, request.around_user_id, size)
    yield "total_users", len(board), response.total_users
    yield "standings", page, lines(response.standings)
    yield "next_page_token given", more, bool(response.next_page_token)
    wanted = view.line(request.user_id, request.rank_mode) if request.user_id else []
    yield "user_standing", wanted, _one(response, "user_standing")
    user = [response.user_standing] if response.HasField("user_standing") else []
    yield from _also(view, request.also_boards, [*response.standings, *user])


def batch_standings(view: View, asked: Asked, response: Any) -> Compared:
    request = asked.request
    board = view.lines(request.rank_mode)
    yield "total_users", len(board), response.total_users
    wanted = [line for line in board if line[1] in request.user_ids]
    yield "standings", wanted, lines(response.standings)
    for one in response.standings:
        yield "users_below", view.below(one.user_id), one.users_below
        yield "score_to_next_rank", view.to_next(one.user_id), one.score_to_next_rank


def watched_top(view: View, asked: Asked, message: Any) -> Compared:
    count = _size(asked.request.count, WATCHED, MAX_WATCHED)
    shown = view.lines()[:count]
    yield "total_users", len(view.rows), message.state.total_users
    if message.keep_alive:
        yield "entries since the last message", asked.said, shown
    yield "entries", [] if message.keep_alive else shown, lines(message.entries)


def watched_rank(view: View, asked: Asked, message: Any) -> Compared:
    shown = view.line(asked.request.user_id)
    yield "total_users", len(view.rows), message.state.total_users
    if message.keep_alive:
        yield "entry since the last message", asked.said, shown
    yield "entry", [] if message.keep_alive else shown, _one(message, "entry")


RULES: dict[str, Rule] = {
    "GetTop": top,
    "GetRank": rank,
    "GetAround": around,
    "BatchGetRanks": batch,
    "ListStandings": standings,
    "BatchGetStandings": batch_standings,
    "WatchTop": watched_top,
    "WatchRank": watched_rank,
}
