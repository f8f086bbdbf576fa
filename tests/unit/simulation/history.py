"""PostgreSQL as a model: writes are committed, numbered, folded; pruned, and restored."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from zlib import crc32

from google.protobuf.timestamp_pb2 import Timestamp

from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_history import boards_of

Scores = dict[str, dict[str, int]]


@dataclass(frozen=True, eq=False)
class State:
    """What the changes up to a point come to, folded one by one: shares no code with a service."""

    scores: Scores
    """By board and user, those of 0 left out."""
    hidden: dict[str, bool]
    """Whether each user with a profile is hidden."""

    def after(self, change: pb.Change) -> "State":
        """With one more change."""
        match change.WhichOneof("kind"):
            case "xp_delta":
                return self._credited(change.xp_delta)
            case "profile_change":
                profile = change.profile_change
                return replace(self, hidden={**self.hidden, profile.user_id: profile.hidden})
            case "user_erasure":
                user = change.user_erasure.user_id
                hidden = {of: value for of, value in self.hidden.items() if of != user}
                return State({b: _set(s, user, 0) for b, s in self.scores.items()}, hidden)
            case "window_reset":
                return replace(self, scores={**self.scores, _name(change.window_reset.board): {}})
            case "standing_correction":
                of = change.standing_correction
                board = _name(of.board)
                scores = _set(self.scores.get(board, {}), of.user_id, of.score)
                return replace(self, scores={**self.scores, board: scores})
        return self

    def _credited(self, delta: pb.XpDelta) -> "State":
        excluded = set(map(_name, delta.excluded_boards))
        scores = dict(self.scores)
        for board in boards_named(delta.course_id, delta.occurred_date, *delta.windows):
            if board not in excluded:
                before = scores.get(board, {})
                due = before.get(delta.user_id, 0) + delta.amount
                scores[board] = _set(before, delta.user_id, due)
        return replace(self, scores=scores)

    @cached_property
    def _parts(self) -> dict[tuple[int, int], "Share"]:
        return {}

    def part(self, number: int, parts: int) -> "Share":
        """What one of so many parts of the boards must hold."""
        share = self._parts.get((number, parts))
        if share is None:
            users = [u for u in self.hidden if parts == 1 or crc32(u.encode()) % parts == number]
            share = self._parts[number, parts] = Share.of(self, users)
        return share


def _set(scores: dict[str, int], user: str, score: int) -> dict[str, int]:
    found = {**scores, user: score}
    return found if score else {of: value for of, value in found.items() if of != user}


@dataclass(frozen=True)
class Share:
    """The keys of a part, as Redis holds them."""

    boards: dict[str, dict[str, int]]
    """Negated scores of users who are shown."""
    hidden: dict[str, dict[str, str]]
    """By hidden user: scores by board."""
    profiles: dict[str, str]

    @classmethod
    def of(cls, state: State, users: list[str]) -> "Share":
        boards: dict[str, dict[str, int]] = {}
        hidden: dict[str, dict[str, str]] = {}
        for board, scores in state.scores.items():
            for user in users:
                score = scores.get(user, 0)
                if score and state.hidden[user]:
                    hidden.setdefault(user, {})[board] = str(score)
                elif score:
                    boards.setdefault(board, {})[user] = -score
        packed = {u: "sh"[state.hidden[u]] + json.dumps([u.upper(), ""]) for u in users}
        return cls(boards, hidden, packed)

    def without(self, users: set[str]) -> "Share":
        """What is not of these users."""
        return Share(
            {
                board: left
                for board, scores in self.boards.items()
                if (left := {user: score for user, score in scores.items() if user not in users})
            },
            {user: scores for user, scores in self.hidden.items() if user not in users},
            {user: packed for user, packed in self.profiles.items() if user not in users},
        )


@cache
def boards_named(course: str, day: str, *windows: int) -> tuple[str, ...]:
    """The boards that an entry counts on."""
    delta = pb.XpDelta(
        metric="xp",
        course_id=course,
        occurred_date=day,
        windows=[types_pb2.Window.ValueType(window) for window in windows],
    )
    return tuple(boards_of(delta))


def _name(board: types_pb2.Board) -> str:
    window = types_pb2.Window.Name(board.window).removeprefix("WINDOW_").lower()
    return f"{board.metric}/{board.course_id}/{window}/{board.period}"


NOTHING = State({}, {})


@dataclass(frozen=True)
class Numbered:
    """A change with its number. `served` is what is read again: a redaction, once its user was
    erased.
    """

    change_id: int
    change: pb.Change
    served: pb.Change

    @property
    def sequence(self) -> int:
        return self.change.sequence


@dataclass
class Lineage:
    """One way that the history went: a restored database goes another from there on."""

    changes: list[Numbered] = field(default_factory=list)
    states: list[State] = field(default_factory=lambda: [NOTHING])
    """At each sequence from 0 on."""
    times: list[float] = field(default_factory=lambda: [0.0])
    """When each was numbered."""
    erased: dict[str, int] = field(default_factory=dict)
    """At which sequence a user was erased, the last time."""

    def copy(self) -> "Lineage":
        return Lineage(self.changes[:], self.states[:], self.times[:], dict(self.erased))


@dataclass(frozen=True, eq=False)
class Backup:
    """What a database can be restored to."""

    lineage: Lineage
    tenures: list[tuple[str, int]]
    queue: list[tuple[int, pb.Change]]
    first_kept: int


class HistoryDatabase:
    """What ProgressService has in PostgreSQL, and beside it what every position that was ever
    given meant. `now` is the time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.lineage = Lineage()
        self.lineages: dict[str, Lineage] = {"": self.lineage}
        """By epoch."""
        self.tenures: list[tuple[str, int]] = []
        """(epoch, after which sequence it began)."""
        self.queue: list[tuple[int, pb.Change]] = []
        """Committed and not numbered, with their ids."""
        self.first_kept = 1
        self.restored_at = 0.0
        self._last_id = 0
        self._holder = ""

    @property
    def epoch(self) -> str:
        return self.tenures[-1][0] if self.tenures else ""

    @property
    def head(self) -> int:
        return len(self.lineage.changes)

    def new_id(self) -> int:
        """The id of a change that is being inserted, whenever it will be committed."""
        self._last_id += 1
        return self._last_id

    def number(self, holder: str, most: int) -> int:
        """Numbers what is committed, in the order of insertion; how many. Another holder than
        before begins a tenure, and so does an erasure.
        """
        if holder != self._holder:
            self._holder = holder
            self._begin_tenure()
        self.queue.sort(key=lambda queued: queued[0])
        taken, self.queue = self.queue[:most], self.queue[most:]
        for change_id, change in taken:
            self._append(change_id, change)
        return len(taken)

    def _begin_tenure(self) -> None:
        self.tenures.append((f"e{len(self.lineages)}", self.head))
        self.lineages[self.epoch] = self.lineage

    def _begin_tenure_of_erasure(self) -> None:
        self._begin_tenure()

    def _append(self, change_id: int, change: pb.Change) -> None:
        lineage = self.lineage
        numbered = pb.Change()
        numbered.CopyFrom(change)
        numbered.sequence = self.head + 1
        numbered.numbered_time.CopyFrom(timestamp(self._now()))
        if numbered.HasField("user_erasure"):
            self._begin_tenure_of_erasure()
            self._redact(numbered)
        lineage.changes.append(Numbered(change_id, numbered, numbered))
        lineage.states.append(lineage.states[-1].after(numbered))
        lineage.times.append(self._now())

    def _redact(self, erasure: pb.Change) -> None:
        user = erasure.user_erasure.user_id
        self.lineage.erased[user] = erasure.sequence
        for index, one in enumerate(self.lineage.changes):
            kind = one.change.WhichOneof("kind")
            if getattr(getattr(one.change, kind or ""), "user_id", None) == user:
                served = pb.Change(
                    sequence=one.sequence,
                    numbered_time=one.change.numbered_time,
                    redaction=pb.Redaction(),
                )
                self.lineage.changes[index] = replace(one, served=served)

    def backup(self) -> Backup:
        """A base copy."""
        return Backup(self.lineage.copy(), self.tenures[:], self.queue[:], self.first_kept)

    def restore(self, backup: Backup) -> None:
        """Everything is as it was then: whoever numbers next begins a tenure."""
        self.lineage = backup.lineage.copy()
        self.tenures, self.queue = backup.tenures[:], backup.queue[:]
        self.first_kept = backup.first_kept
        self._holder = ""
        self.restored_at = self._now()

    def knows(self, epoch: str, sequence: int) -> bool:
        """Whether a position is a point of this history; see store/positions.py."""
        if not epoch:
            return sequence == 0
        last = self.head
        for known, after in reversed(self.tenures):
            if known == epoch:
                return sequence <= last
            last = after
        return False


def timestamp(now: float) -> Timestamp:
    """The time of day."""
    found = Timestamp()
    found.FromMicroseconds(microseconds(now))
    return found


def microseconds(now: float) -> int:
    """Since 1970, of a time of the loop."""
    return 1_795_000_000_000_000 + round(now * 1e6)
