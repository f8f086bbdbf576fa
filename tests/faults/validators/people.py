"""Promise 1 as users see it: their ledger and their totals have what they did, once, as soon as
they are told that it is done.

Of users who are erased at some time nothing is compared.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.case import Case
from tests.faults.recording import Call, Entry
from tests.faults.timeline import Life
from tests.faults.validators import list_pages
from tests.faults.verdict import EXACTLY_ONCE, Verdict
from tests.history_fold import BoardName, boards_of, name_of

Event = tuple[int, int | None]
"""A number in the history, and what was credited; None: a reset."""

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
        if call.request.user_id in case.erasures or list_pages.goes_back(case, call):
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
        response = call.response
        if not self._life.holds(response.position):
            return f"position {response.position}"
        for one in response.metrics:
            for name, window in _WINDOWS.items():
                value, allowed = getattr(one, name), self._scores(call, one.metric, window)
                if value not in allowed and self._life is self._case.timeline.last:
                    return f"{one.metric} {name} is {value}, must be one of {sorted(allowed)}"
        return ""

    def _scores(self, call: Call, metric: str, window: int) -> set[int]:
        """The scores that the user may be told, on such boards of any period."""
        user_id = call.request.user_id
        allowed: set[int] = set() if window == types_pb2.WINDOW_ALL_TIME else {0}
        for board, events in self._histories[user_id].items():
            if board[::2] == (metric, window):
                allowed |= self._since(call, events)
        return allowed or {0}

    def _since(self, call: Call, events: list[Event]) -> set[int]:
        """The scores at the answer's position, or what was acknowledged before it if that is later,
        and afterwards. What is numbered before something else may be committed after it: where a
        reset was under way, it may have been so without it.
        """
        at = call.response.position.sequence
        known = self._known(call.request.user_id, call.begun)
        since = max(at, self._life.sequence_of.get(known, 0))
        pending = [
            sequence
            for sequence, amount in events
            if amount is None and sequence > at and self._was_under_way(sequence, call)
        ]
        found: set[int] = set()
        for count in range(len(pending) + 1):
            for skipped in combinations(pending, count):
                states = list(_states(events, skipped))
                first = bisect_right(states, since, key=lambda state: state[0]) - 1
                found.update(score for _, score in states[first:])
        return found

    def _was_under_way(self, sequence: int, read: Call) -> bool:
        """Whether the reset of this number may have been committed during the call, or after it.
        One that nobody was answered may have been at any time.
        """
        begun, ended = self._resets.get(sequence, (0.0, math.inf))
        return begun <= read.ended and ended > read.begun

    @cached_property
    def _resets(self) -> dict[int, tuple[float, float]]:
        """Of each, when it was first asked for and first answered."""
        asked: dict[str, float] = {}
        found: dict[int, tuple[float, float]] = {}
        for call in sorted(self._case.recorded.calls, key=lambda one: one.begun):
            if call.method != "ResetWindow":
                continue
            begun = asked.setdefault(call.request.request_id, call.begun)
            if call.response is not None and self._life.holds(call.response.position):
                sequence = call.response.position.sequence
                _, ended = found.get(sequence, (0.0, math.inf))
                found[sequence] = (begun, min(call.ended, ended))
        return found

    @cached_property
    def _histories(self) -> dict[str, dict[BoardName, list[Event]]]:
        """Of each user and board across courses, what happened to the score."""
        found: dict[str, Any] = defaultdict(lambda: defaultdict(list))
        for change in self._life.changes:
            if change.HasField("window_reset"):
                board = name_of(change.window_reset.board)
                for boards in found.values():
                    if board in boards:
                        boards[board].append((change.sequence, None))
            elif change.HasField("xp_delta"):
                delta = change.xp_delta
                for board in boards_of(delta):
                    if not board[1]:
                        found[delta.user_id][board].append((change.sequence, delta.amount))
        return found


def _states(events: list[Event], skipped: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The score from which change on, had some resets not been."""
    score = 0
    yield 0, score
    for sequence, amount in events:
        if sequence not in skipped:
            score = 0 if amount is None else score + amount
            yield sequence, score


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
