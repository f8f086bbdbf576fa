"""Requests that change something, each with all its calls: what was acknowledged, and to which life
of the database it belongs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.faults.case import is_refusal
from tests.faults.recording import Call
from tests.faults.timeline import Life

ONCE = (
    "SubmitProgress",
    "AwardXp",
    "RevokeXp",
    "VoidAttempt",
    "GrantStreakFreezes",
    "ResetWindow",
)
"""Methods that take effect once for each request_id."""


@dataclass
class Request:
    """One request and every call that made it, in the order in which they ended."""

    method: str
    message: Any
    calls: list[Call] = field(default_factory=list)

    @property
    def acknowledgements(self) -> list[Call]:
        return [call for call in self.calls if call.response is not None]

    def acknowledged(self, life: Life) -> list[Call]:
        """The calls that were answered and whose effect is in that life for sure."""
        return [call for call in self.acknowledgements if life.must_have(call.begun, call.ended)]

    def claimed(self, life: Life) -> list[Call]:
        """The calls that were answered and whose effect can be in that life."""
        return [call for call in self.acknowledgements if life.may_have(call.begun, call.ended)]

    def is_open(self, life: Life) -> bool:
        """Whether it may have had an effect in that life that no answer tells of."""
        failed = [call for call in self.calls if call.failure is not None and not is_refusal(call)]
        return any(life.may_have(call.begun, call.ended) for call in failed)

    def __str__(self) -> str:
        text = " ".join(str(self.message).split())[:300]
        times = ", ".join(f"{call.begun:.3f}-{call.ended:.3f}" for call in self.calls)
        return f"{self.method} {{{text}}} at {times}"


def requests_of(calls: Iterable[Call]) -> dict[str, list[Request]]:
    """All requests under request ids, by method; the same one is there once."""
    found: dict[tuple[str, bytes], Request] = {}
    for call in sorted(calls, key=lambda call: call.ended):
        if call.method in ONCE:
            key = (call.method, call.request.SerializeToString(deterministic=True))
            request = found.setdefault(key, Request(call.method, call.request))
            request.calls.append(call)
    by_method: dict[str, list[Request]] = {method: [] for method in ONCE}
    for request in found.values():
        by_method[request.method].append(request)
    return by_method


def pairs(calls: list[Call]) -> Iterator[tuple[Call, Call]]:
    """Each call with the one before it."""
    yield from pairwise(calls)
