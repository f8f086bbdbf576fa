"""Promise 4: what a watcher of the history is sent is dense, in order, each change once, and as it
was numbered; or the stream ends in an error that names the recovery.

A change of someone who was erased may be a redaction, and must be one when the watch began after
the erasure was answered.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.faults.case import Case
from tests.faults.recording import Stream
from tests.faults.timeline import Life
from tests.faults.verdict import WATCHERS, Verdict

METHOD = "WatchXpDeltas"
ENDED = "ended with "
"""And the reason."""
RECOVERED = "went on after a history that was cut"
_PRUNING = "history"
"""The family of faults under which a history may be shorter than a watcher needs it."""


def check(case: Case, verdict: Verdict) -> None:
    """Follows every stream, message by message."""
    cut: set[str] = set()
    for stream in case.recorded.streams:
        if stream.method != METHOD:
            continue
        _Watcher(case, stream, verdict).follow()
        if stream.failure is not None and stream.failure.reason == "HISTORY_TRUNCATED":
            cut.add(stream.client)
        elif stream.client in cut and any(message.changes for _, message in stream.messages):
            verdict.count(WATCHERS, RECOVERED)


@dataclass
class _Watcher:
    """A stream, the lives that it can be in from here on, and the position that it has reached."""

    case: Case
    stream: Stream
    verdict: Verdict
    lives: list[Life] = field(init=False)
    position: Any = field(init=False)

    def __post_init__(self) -> None:
        self.position = self.stream.request.after
        self.lives = [life for life in self.case.timeline.lives if life.ended >= self.stream.begun]

    def follow(self) -> None:
        if any(life.holds(self.position) for life in self.lives):
            for at, message in self.stream.messages:
                if not self._take(at, message):
                    return
        if self.stream.ended:
            self._check_end()

    def _take(self, at: float, message: Any) -> bool:
        """Whether the message follows; the first wrong one is told, and is the last looked at."""
        self.verdict.count(WATCHERS, "messages")
        self.verdict.count(WATCHERS, "changes", len(message.changes))
        wrong = self._order(message)
        if not wrong:
            fitting = [life for life in self.lives if self._fits(life, at, message)]
            if fitting:
                # The next may be of a life that was restored since, and of none before this one.
                self.lives = [life for life in self.lives if life.number >= fitting[0].number]
            else:
                wrong = self._unlike(at, message)
        if wrong:
            self._broken("a watcher's history is wrong", at, wrong)
            return False
        self.position = message.through
        return True

    def _order(self, message: Any) -> str:
        sequence = self.position.sequence
        for change in message.changes:
            sequence += 1
            if change.sequence != sequence:
                return f"change {change.sequence} where {sequence} was to come"
        if message.through.sequence != sequence:
            return f"it is said to go through {message.through.sequence}, and goes to {sequence}"
        if message.head_sequence < sequence:
            return f"{sequence} is past the head {message.head_sequence}"
        return ""

    def _fits(self, life: Life, at: float, message: Any) -> bool:
        return (
            life.begun <= at
            and life.holds(self.position)
            and life.holds(message.through)
            and message.head_sequence <= len(life.branch.changes)
            and all(self._is_numbered(life, at, change) for change in message.changes)
        )

    def _is_numbered(self, life: Life, at: float, change: Any) -> bool:
        if change.sequence > len(life.changes):
            return False
        numbered = life.changes[change.sequence - 1]
        if change == numbered:
            return not self._is_gone(life, numbered)
        redacted = change.HasField("redaction") and change.numbered_time == numbered.numbered_time
        return redacted and any(
            call.begun <= at
            for user_id in [_subject(numbered)]
            if any(where > change.sequence for where in life.erased_at.get(user_id, ()))
            for call in self.case.erasures.get(user_id, ())
        )

    def _is_gone(self, life: Life, numbered: Any) -> bool:
        """Whether the change was redacted before the watch began."""
        user_id = _subject(numbered)
        if not user_id or user_id not in life.erased_at:
            return False
        return any(
            call.response is not None
            and call.ended <= self.stream.begun
            and life.must_have(call.begun, call.ended)
            and call.response.position.sequence > numbered.sequence
            for call in self.case.erasures.get(user_id, ())
        )

    def _unlike(self, at: float, message: Any) -> str:
        """What does not fit the life that it seems to be of."""
        life = self.lives[-1]
        for change in message.changes:
            if not self._is_numbered(life, at, change):
                inside = change.sequence <= len(life.changes)
                right = life.changes[change.sequence - 1] if inside else None
                return f"life {life.number} has {_flat(right)}, sent was {_flat(change)}"
        return (
            f"{_flat(self.position)} to {_flat(message.through)}, head {message.head_sequence},"
            f" is in no life of {[one.number for one in self.lives]}"
        )

    def _check_end(self) -> None:
        failure, ended = self.stream.failure, self.stream.ended
        if failure is None:
            if not self.stream.left:
                self._broken("a watch ended without an error", ended, "it was not left")
            return
        self.verdict.count(WATCHERS, f"{ENDED}{failure.reason or failure.code}")
        if failure.reason == "EPOCH_MISMATCH":
            present = self.case.timeline.present(self.stream.begun, ended)
            if present and all(life.holds(self.position) for life in present):
                self._broken("a position of this history is refused", ended, _flat(self.position))
        elif failure.reason == "HISTORY_TRUNCATED":
            acts = self.case.recorded.acts
            if not any(act.fault.split(".")[0] == _PRUNING for act in acts):
                self._broken("a history that was not pruned is cut", ended, _flat(self.position))

    def _broken(self, what: str, at: float, text: str) -> None:
        after = _flat(self.stream.request.after)
        about = f"{METHOD} of {self.stream.client} ({self.stream.begun:.3f} s, after {after})"
        self.verdict.broken(WATCHERS, what, at, f"{about}: {text}")


def _subject(change: Any) -> str:
    """Whose change it is, as far as an erasure is concerned; an erasure itself stays."""
    kind = change.WhichOneof("kind")
    if kind not in ("xp_delta", "profile_change", "standing_correction"):
        return ""
    return str(getattr(change, kind).user_id)


def _flat(message: Any) -> str:
    return "{" + " ".join(str(message).split()) + "}"
