"""Promise 1 as users see it: their ledger and their totals have what they did, once, as soon as
they are told that it is done.

Of users who are erased at some time nothing is compared.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.case import Case
from tests.faults.recording import Call, Entry
from tests.faults.timeline import Life
from tests.faults.verdict import EXACTLY_ONCE, Verdict
from tests.history_fold import BoardName, boards_of, name_of

_PAGE_SIZE, _MAX_PAGE_SIZE = 50, 500
_WINDOWS = {
    "all_time": types_pb2.WINDOW_ALL_TIME,
    "year": types_pb2.WINDOW_YEAR,
    "month": types_pb2.WINDOW_MONTH,
    "week": types_pb2.WINDOW_WEEK,
    "day": types_pb2.WINDOW_DAY,
}


def check(case: Case, verdict: Verdict) -> None:
    """Compares each such answer with the lives that PostgreSQL was in meanwhile."""
    people = {life.number: _People(case, life) for life in case.timeline.lives}
    pages = dict(_pages(case))
    for call in case.recorded.calls:
        if call.response is None or call.method not in ("GetUserStats", "ListXpEntries"):
            continue
        if call.request.user_id in case.erasures:
            continue
        verdict.count(EXACTLY_ONCE, call.method)
        wrong = []
        for life in case.timeline.present(call.begun, call.ended):
            one = people[life.number]
            listed = call.method == "ListXpEntries"
            wrong.append(one.ledger(call, pages) if listed else one.stats(call))
        if all(wrong):
            about = f"{call.method} of {call.client} for {call.request.user_id}: {wrong[-1]}"
            verdict.broken(EXACTLY_ONCE, "a user is told wrong", call.ended, about)


def _pages(case: Case) -> Iterator[tuple[str, int]]:
    """The last entry before each page of a ledger."""
    for call in case.recorded.calls:
        token = getattr(call.response, "next_page_token", "")
        if token and call.method == "ListXpEntries" and call.response.entries:
            yield token, int(call.response.entries[-1].entry_id)


class _People:
    """What each user has in one life."""

    def __init__(self, case: Case, life: Life) -> None:
        self._life = life
        self._case = case
        self._ids: dict[str, list[int]] = defaultdict(list)
        for entry_id in sorted(life.entries):
            self._ids[life.entries[entry_id].user_id].append(entry_id)

    @cached_property
    def _told(self) -> dict[str, list[tuple[float, int]]]:
        """Of each user, the entries that were acknowledged, and when."""
        found: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for call in self._case.recorded.calls:
            if call.response is None or not self._life.must_have(call.begun, call.ended):
                continue
            if call.method in ("AwardXp", "RevokeXp"):
                entry = self._life.entries.get(int(call.response.entry_id))
                if entry is not None:
                    found[entry.user_id].append((call.ended, entry.entry_id))
        return found

    def _known(self, user_id: str, moment: float) -> int:
        """The newest entry of which the user had been told by then."""
        told = self._told.get(user_id, ())
        return max((entry_id for at, entry_id in told if at <= moment), default=0)

    def ledger(self, call: Call, pages: dict[str, int]) -> str:
        """What is wrong with a page of the ledger."""
        user_id, entries = call.request.user_id, call.response.entries
        ids = self._ids.get(user_id, [])
        known = self._known(user_id, call.begun)
        found = [int(one.entry_id) for one in entries]
        newest = found[0] if found else 0
        if call.request.page_token:
            before = pages.get(call.request.page_token)
            if before is None:
                return "its page token was given to nobody"
            end = bisect_right(ids, before - 1)
        elif newest < known:
            return f"entry {known} was acknowledged, and the newest is {newest}"
        else:
            end = bisect_right(ids, newest)
        size = min(call.request.page_size or _PAGE_SIZE, _MAX_PAGE_SIZE)
        wanted = ids[max(end - size, 0) : end][::-1]
        if found != wanted:
            return f"entries {found}, must be {wanted}"
        if bool(call.response.next_page_token) != (end > size):
            return f"the next page's token is {call.response.next_page_token!r}"
        unlike = [one for one in entries if not _same(self._life.entries[int(one.entry_id)], one)]
        return f"{unlike[0]}" if unlike else ""

    def stats(self, call: Call) -> str:
        """What is wrong with the totals; the periods are those of any day."""
        user_id, response = call.request.user_id, call.response
        if not self._life.holds(response.position):
            return f"position {response.position}"
        known = self._known(user_id, call.begun)
        since = max(response.position.sequence, self._life.sequence_of.get(known, 0))
        for one in response.metrics:
            for name, window in _WINDOWS.items():
                value, allowed = (
                    getattr(one, name),
                    self._scores(user_id, one.metric, window, since),
                )
                if value not in allowed and self._life is self._case.timeline.last:
                    return f"{one.metric} {name} is {value}, must be one of {sorted(allowed)}"
        return ""

    def _scores(self, user_id: str, metric: str, window: int, since: int) -> set[int]:
        """The scores that the user has on such boards at that sequence and afterwards."""
        allowed: set[int] = set() if window == types_pb2.WINDOW_ALL_TIME else {0}
        boards = [board for board in self._histories[user_id] if board[::2] == (metric, window)]
        for board in boards:
            states = self._histories[user_id][board]
            first = bisect_right(states, since, key=lambda state: state[0]) - 1
            allowed.update(score for _, score in states[first:])
        return allowed or {0}

    @cached_property
    def _histories(self) -> dict[str, dict[BoardName, list[tuple[int, int]]]]:
        """Of each user and board across courses, the score from which change on."""
        found: dict[str, Any] = defaultdict(lambda: defaultdict(lambda: [(0, 0)]))
        for change in self._life.changes:
            if change.HasField("window_reset"):
                board = name_of(change.window_reset.board)
                for boards in found.values():
                    if board in boards:
                        boards[board].append((change.sequence, 0))
            elif change.HasField("xp_delta"):
                delta = change.xp_delta
                for board in boards_of(delta):
                    if not board[1]:
                        states = found[delta.user_id][board]
                        states.append((change.sequence, states[-1][1] + delta.amount))
        return found


def _same(entry: Entry, told: Any) -> bool:
    return (
        entry.user_id,
        entry.metric,
        entry.amount,
        entry.source,
        entry.reference,
        entry.course_id,
        entry.level_id,
    ) == (
        told.user_id,
        told.metric,
        told.amount,
        told.source,
        told.reference,
        told.course_id,
        told.level_id,
    )
