"""The writes of a run that never was, with the ledger and the history that follow from them."""

from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.recording import (
    Act,
    Attempt,
    Branch,
    Call,
    Entry,
    Failure,
    Key,
    Recorded,
    Tenure,
)

DAY = "2026-11-20"
TODAY = types_pb2.Board(metric="xp", window=types_pb2.WINDOW_DAY, period=DAY)
CANARY = "canary-in-a-stack-trace"


@dataclass
class Writes:
    """A run in the making. Every call takes a second; `epoch` is the present tenure's."""

    recorded: Recorded = field(default_factory=lambda: Recorded(seed=1, duration_s=60.0))
    now: float = 0.0
    epoch: str = "e1"

    def __post_init__(self) -> None:
        self.recorded.branches.append(Branch(begun=0.0, tenures=[Tenure(self.epoch, 0)]))
        self.recorded.canaries = (CANARY,)

    @property
    def branch(self) -> Branch:
        return self.recorded.branches[-1]

    @property
    def position(self) -> types_pb2.Position:
        """The head."""
        return types_pb2.Position(epoch=self.epoch, sequence=len(self.branch.changes))

    @property
    def numbered_time(self) -> Timestamp:
        return Timestamp(seconds=1_000 + len(self.branch.changes))

    def call(self, method: str, request: Any, response: Any = None, reason: str = "") -> Call:
        """A call that takes a second. The reason is given as CODE/REASON."""
        code, _, name = reason.partition("/")
        failure = Failure(code, name, "no", (name,)) if reason else None
        call = Call("client", "Service", method, request, self.now, self.now + 1, response, failure)
        self.now += 1
        self.recorded.calls.append(call)
        return call

    def _number(self, **kind: Any) -> pb.Change:
        change = pb.Change(sequence=len(self.branch.changes) + 1, **kind)
        self.branch.changes.append(change)
        change.numbered_time.CopyFrom(self.numbered_time)
        return change

    def _token(self) -> str:
        return f"token-{self.epoch}-{len(self.branch.changes)}-{self.now:g}"

    def user(self, user_id: str, name: str = "", *, hidden: bool = False) -> Call:
        user = catalog_pb2.User(user_id=user_id, display_name=name, hidden=hidden)
        profile = pb.ProfileChange(user_id=user_id, display_name=name, hidden=hidden)
        self._number(profile_change=profile)
        answer = catalog_pb2.PutUserResponse(user=user, consistency_token=self._token())
        return self.call("PutUser", catalog_pb2.PutUserRequest(user=user), answer)

    def _credit(self, entry: Entry) -> None:
        self.branch.entries.append(replace(entry, occurred_date=DAY))
        delta = pb.XpDelta(
            entry_id=str(entry.entry_id),
            user_id=entry.user_id,
            metric=entry.metric,
            amount=entry.amount,
            occurred_date=DAY,
            excluded_boards=[TODAY] if self._was_reset_since(entry.of_entry_id) else [],
        )
        self._number(xp_delta=delta)

    def _was_reset_since(self, entry_id: int | None) -> bool:
        """Whether today's board was, since this entry counted on it."""
        counted = [one.xp_delta.entry_id == str(entry_id) for one in self.branch.changes]
        since = self.branch.changes[counted.index(True) :] if entry_id else []
        return any(change.HasField("window_reset") for change in since)

    @property
    def _next_entry(self) -> int:
        return len(self.branch.entries) + 1

    def award(self, user_id: str, amount: int, request_id: str) -> Call:
        entry = Entry(self._next_entry, user_id, "xp", amount, None, None, "challenge")
        self._credit(entry)
        self.branch.keys.append(Key(user_id, request_id))
        request = pb.AwardXpRequest(
            user_id=user_id, amount=amount, source="challenge", request_id=request_id
        )
        answer = pb.AwardXpResponse(
            entry_id=str(entry.entry_id),
            amount_credited=amount,
            total=sum(one.amount for one in self.branch.entries if one.user_id == user_id),
            consistency_token=self._token(),
        )
        return self.call("AwardXp", request, answer)

    def submit(self, user_id: str, level_id: str, request_id: str) -> Call:
        """A passing attempt at a level of 50 XP."""
        attempt_id = 100 + len(self.branch.attempts)
        made = Attempt(attempt_id, user_id, level_id, request_id, 8, 10, voided=False)
        self.branch.attempts.append(made)
        entry_id = self._next_entry
        entry = Entry(entry_id, user_id, "xp", 50, attempt_id, None, "level", level_id=level_id)
        self._credit(entry)
        self.branch.keys.append(Key(user_id, request_id))
        request = pb.SubmitProgressRequest(
            user_id=user_id,
            level_id=level_id,
            correct_answers=8,
            total_questions=10,
            request_id=request_id,
        )
        answer = pb.SubmitProgressResponse(
            attempt_id=str(attempt_id), xp_earned=50, consistency_token=self._token()
        )
        return self.call("SubmitProgress", request, answer)

    def revoke(self, entry_id: int, request_id: str) -> Call:
        old = next(one for one in self.branch.entries if one.entry_id == entry_id)
        cancelling = Entry(
            self._next_entry, old.user_id, "xp", -old.amount, None, entry_id, old.source
        )
        self._credit(cancelling)
        self.branch.keys.append(Key(old.user_id, request_id))
        request = pb.RevokeXpRequest(entry_id=str(entry_id), request_id=request_id)
        answer = pb.RevokeXpResponse(
            entry_id=str(cancelling.entry_id), consistency_token=self._token()
        )
        return self.call("RevokeXp", request, answer)

    def reset(self, request_id: str) -> Call:
        """Today's board begins anew."""
        self._number(window_reset=pb.WindowReset(board=TODAY))
        self.branch.keys.append(Key("", request_id))
        request = admin_pb2.ResetWindowRequest(board=TODAY, request_id=request_id)
        answer = admin_pb2.ResetWindowResponse(position=self.position)
        return self.call("ResetWindow", request, answer)

    def erase(self, user_id: str) -> Call:
        self._number(user_erasure=pb.UserErasure(user_id=user_id))
        self.branch.entries = [
            replace(one, user_id="~1", reference="") if one.user_id == user_id else one
            for one in self.branch.entries
        ]
        self.branch.keys = [key for key in self.branch.keys if key.user_id != user_id]
        answer = admin_pb2.EraseUserResponse(position=self.position)
        return self.call("EraseUser", admin_pb2.EraseUserRequest(user_id=user_id), answer)

    def repeat(self, call: Call, *, replayed: bool = True) -> Call:
        """The same request once more, and the same answer."""
        answer = type(call.response)()
        answer.CopyFrom(call.response)
        if replayed and hasattr(answer, "replayed"):
            answer.replayed = True
        return self.call(call.method, call.request, answer)

    def tenure(self, epoch: str) -> None:
        """Another sequencer takes over."""
        self.epoch = epoch
        self.branch.tenures.append(Tenure(epoch, len(self.branch.changes)))

    def copy(self) -> Branch:
        """The database as it is."""
        self.now += 1
        one = self.branch
        return Branch(
            begun=0.0,
            copied=self.now,
            changes=list(one.changes),
            entries=list(one.entries),
            attempts=list(one.attempts),
            keys=list(one.keys),
            tenures=list(one.tenures),
        )

    def restore(self, copy: Branch, epoch: str) -> None:
        """PostgreSQL begins anew from the copy."""
        self.branch.ended = self.now
        act = Act("postgres.restore", "postgres", self.now, self.now + 1, effect="all undone")
        self.recorded.acts.append(act)
        self.now += 1
        copy.begun = self.now
        self.recorded.branches.append(copy)
        self.tenure(epoch)
