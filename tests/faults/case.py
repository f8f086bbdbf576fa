"""A run as the validators look at it: what was recorded, and what follows from it once."""

from bisect import bisect_left
from functools import cached_property

from tests.faults.claims import Claim, Given, claims_of, given_pages
from tests.faults.recording import Act, Call, Recorded
from tests.faults.timeline import Life, Timeline

ERASE = "EraseUser"
_REFUSALS = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "UNIMPLEMENTED",
}
"""Codes that say that nothing was done."""
_LISTS = {"ListXpEntries", "ListAttempts", "ListCourseProgress"}
_REDIS_TARGETS = ("redis", "leaderboard-redis", "all")


def is_refusal(call: Call) -> bool:
    """Whether the answer says that nothing was done, and will not be."""
    return call.failure is not None and call.failure.code in _REFUSALS


def touches_redis(act: Act) -> bool:
    """Whether it is Redis, or the way to it, that the fault is about."""
    names = {*act.fault.split("."), act.target}
    return bool(names & set(_REDIS_TARGETS))


class Case:
    """`recorded`, its timeline, and its claims about boards."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.timeline = Timeline(recorded.branches)

    @cached_property
    def pages(self) -> dict[str, Given]:
        return given_pages(self.recorded)

    @cached_property
    def list_pages(self) -> dict[str, Call]:
        """The answer that gave each page token of a list that is no board."""
        return {
            call.response.next_page_token: call
            for call in self.recorded.calls
            if call.method in _LISTS and call.response is not None
            if call.response.next_page_token
        }

    @cached_property
    def forks(self) -> dict[tuple[int, int], int]:
        """The last sequence at which a position is a point of both of two lives, by their numbers,
        the lower one first.
        """
        return {(one.number, other.number): at for one, other, at in self.timeline.forks()}

    @cached_property
    def claims(self) -> list[Claim]:
        return list(claims_of(self.recorded, self.pages))

    @cached_property
    def writes(self) -> dict[str, list[Call]]:
        """The answers that gave each consistency token."""
        found: dict[str, list[Call]] = {}
        for call in self.recorded.calls:
            token = getattr(call.response, "consistency_token", "")
            if token:
                found.setdefault(token, []).append(call)
        return found

    @cached_property
    def erasures(self) -> dict[str, list[Call]]:
        """The calls that erase each user, but for those that were refused."""
        found: dict[str, list[Call]] = {}
        for call in self.recorded.calls:
            if call.method == ERASE and not is_refusal(call):
                found.setdefault(call.request.user_id, []).append(call)
        return found

    @cached_property
    def redis_troubled_at(self) -> float | None:
        """When the first fault of Redis began; None: there was none."""
        return min((act.begun for act in self.recorded.acts if touches_redis(act)), default=None)

    def is_calm(self, begun: float) -> bool:
        """Whether a call that began then found everything healed and caught up."""
        return self.recorded.calm_at is not None and begun >= self.recorded.calm_at

    @property
    def has_restore(self) -> bool:
        return len(self.timeline.lives) > 1

    @cached_property
    def _heads(self) -> dict[int, list[tuple[float, int]]]:
        """Of each life, what was known of its head, and when; both only rise."""
        seen = [(claim.ended, claim.position) for claim in self.claims]
        for stream in self.recorded.streams:
            if stream.method == "WatchXpDeltas":
                seen += [(at, message.through) for at, message in stream.messages]
        seen.sort(key=lambda one: one[0])
        heads: dict[int, list[tuple[float, int]]] = {
            life.number: [] for life in self.timeline.lives
        }
        for at, position in seen:
            for life in self.timeline.holding(position):
                known = heads[life.number]
                if not known or position.sequence > known[-1][1]:
                    known.append((at, position.sequence))
        return heads

    def head_before(self, life: Life, moment: float) -> int:
        """What had its number in that life by then, as far as anyone was told."""
        known = self._heads[life.number]
        number = bisect_left(known, (moment, 0))
        return known[number - 1][1] if number else 0
