"""What a writer writes: requests drawn at random, and what it remembers of the answers."""

import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.faults.workload import world

REMEMBERED = 200


@dataclass(frozen=True)
class Write:
    """A request that changes something. `user_id` is whom it concerns, where the answer has a
    consistency token.
    """

    path: str
    request: Any
    user_id: str = ""

    @property
    def request_id(self) -> str:
        return str(getattr(self.request, "request_id", ""))


@dataclass(frozen=True)
class Receipt:
    """A consistency token, and the write that gave it."""

    token: str
    request_id: str
    user_id: str


def _remembered() -> deque[Any]:
    return deque(maxlen=REMEMBERED)


@dataclass
class Memory:
    """What one writer was answered: ids to refer to, tokens to use again, writes to repeat."""

    entries: deque[str] = field(default_factory=_remembered)
    attempts: deque[str] = field(default_factory=_remembered)
    flagged: deque[str] = field(default_factory=_remembered)
    receipts: deque[Receipt] = field(default_factory=_remembered)
    done: deque[Write] = field(default_factory=_remembered)

    def keep(self, write: Write, response: Any) -> Receipt | None:
        """What the answer is good for later; its consistency token, if it has one."""
        if write.request_id:
            self.done.append(write)
        match response:
            case pb.AwardXpResponse(amount_credited=credited) if credited:
                self.entries.append(response.entry_id)
            case pb.SubmitProgressResponse(under_review=True):
                self.flagged.append(response.attempt_id)
            case pb.SubmitProgressResponse():
                self.attempts.append(response.attempt_id)
        token = getattr(response, "consistency_token", "")
        if not (token and write.request_id):
            return None
        receipt = Receipt(token, write.request_id, write.user_id)
        self.receipts.append(receipt)
        return receipt


def _when(chance: random.Random, today: date) -> Timestamp | None:
    """Noon of an earlier day; mostly nothing, which is now."""
    days = chance.choice(world.DAYS_AGO)
    if not days:
        return None
    moment = Timestamp()
    moment.FromDatetime(datetime.combine(today - timedelta(days=days), time(12), UTC))
    return moment


class Draw:
    """Draws the writes of one client: each under a request id of its own."""

    def __init__(self, memory: Memory, today: date) -> None:
        self._memory = memory
        self._today = today

    def submission(self, request_id: str, chance: random.Random) -> Write:
        user_id = chance.choice(world.PEOPLE)
        request = pb.SubmitProgressRequest(
            user_id=user_id,
            level_id=chance.choice(world.LEVELS),
            correct_answers=chance.randint(2, 10),
            total_questions=10,
            time_spent=Duration(seconds=chance.randint(0, 3)),
            request_id=request_id,
            occurred_time=_when(chance, self._today),
        )
        return Write("ProgressService/SubmitProgress", request, user_id)

    def award(self, request_id: str, chance: random.Random) -> Write:
        user_id = chance.choice(world.PEOPLE)
        reference = f"ref{chance.randrange(30)}" if chance.random() < 0.15 else ""
        request = pb.AwardXpRequest(
            user_id=user_id,
            metric=chance.choice(world.AWARDED),
            # Small ones make equal scores, large ones are told apart.
            amount=chance.choice([chance.randint(1, 5), chance.randint(1, 100_000)]),
            source="challenge",
            reference=reference,
            course_id=chance.choice(world.COURSES),
            request_id=request_id,
            occurred_time=_when(chance, self._today),
        )
        return Write("ProgressService/AwardXp", request, user_id)

    def revocation(self, request_id: str, chance: random.Random) -> Write:
        if not self._memory.entries:
            return self.award(request_id, chance)
        entry_id = self._memory.entries[chance.randrange(len(self._memory.entries))]
        request = pb.RevokeXpRequest(entry_id=entry_id, reason="why not", request_id=request_id)
        return Write("ProgressService/RevokeXp", request, chance.choice(world.USERS))

    def withdrawal(self, request_id: str, chance: random.Random) -> Write:
        if not self._memory.attempts:
            return self.submission(request_id, chance)
        attempt_id = self._memory.attempts[chance.randrange(len(self._memory.attempts))]
        request = pb.VoidAttemptRequest(attempt_id=attempt_id, request_id=request_id)
        return Write("ProgressService/VoidAttempt", request, chance.choice(world.USERS))

    def review(self, request_id: str, chance: random.Random) -> Write:
        if not self._memory.flagged:
            return self.submission(request_id, chance)
        request = admin_pb2.ResolveFlaggedAttemptRequest(
            attempt_id=self._memory.flagged.popleft(), accept=chance.random() < 0.7
        )
        return Write("ProgressAdminService/ResolveFlaggedAttempt", request)

    def freezes(self, request_id: str, chance: random.Random) -> Write:
        request = pb.GrantStreakFreezesRequest(
            user_id=chance.choice(world.PEOPLE), days=chance.randint(1, 3), request_id=request_id
        )
        return Write("ProgressService/GrantStreakFreezes", request)

    def profile(self, request_id: str, chance: random.Random) -> Write:
        user_id = chance.choice(world.USERS)
        hidden = chance.random() < 0.4
        return Write("CatalogService/PutUser", world.user(user_id, request_id, hidden=hidden))

    def reset(self, request_id: str, chance: random.Random) -> Write:
        board = world.board(chance, self._today)
        request = admin_pb2.ResetWindowRequest(board=board, request_id=request_id)
        return Write("ProgressAdminService/ResetWindow", request)

    def again(self, request_id: str, chance: random.Random) -> Write:
        """A write that was answered before, however long ago."""
        if not self._memory.done:
            return self.award(request_id, chance)
        return self._memory.done[chance.randrange(len(self._memory.done))]

    def any(self, request_id: str, chance: random.Random) -> Write:
        """One of all kinds but erasures."""
        (kind,) = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        return kind(self, request_id, chance)


_WEIGHTS = {
    Draw.submission: 30,
    Draw.award: 34,
    Draw.revocation: 14,
    Draw.withdrawal: 5,
    Draw.review: 3,
    Draw.freezes: 3,
    Draw.profile: 6,
    Draw.reset: 4,
    Draw.again: 9,
}


def erasure(user_id: str) -> Write:
    """Removes a person."""
    request: Message = admin_pb2.EraseUserRequest(user_id=user_id)
    return Write("ProgressAdminService/EraseUser", request)


def arrival(user_id: str, name: str) -> Write:
    """The profile of someone new."""
    return Write("CatalogService/PutUser", world.user(user_id, name))
