"""What a run leaves behind: every call with its answer, every stream with its messages, what was
done to the stack, and what PostgreSQL held. The validators read this and nothing else.

All times are seconds of the monotonic clock since the run began.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the client got it: status code, ErrorInfo's reason and metadata, and every other
    text that came with it.
    """

    code: str
    reason: str
    message: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One unary call. Either `response` or `failure` is there; a repetition of a write that was
    not acknowledged is a call of its own with the same request.

    `follows`: of a read with a consistency token, the request_id of the write that gave it.
    """

    client: str
    service: str
    method: str
    request: Any
    begun: float
    ended: float
    response: Any = None
    failure: Failure | None = None
    follows: str = ""


@dataclass(slots=True)
class Stream:
    """One server stream, from the call to its end. `failure` is what it ended with; None: the
    server ended it well, or the client left (`left`).
    """

    client: str
    service: str
    method: str
    request: Any
    begun: float
    messages: list[tuple[float, Any]] = field(default_factory=list)
    ended: float = 0.0
    failure: Failure | None = None
    left: bool = False


@dataclass(slots=True)
class Act:
    """A fault, from its beginning to its healing; `target` is a process or a hop. `effect`: what
    there was to see of it; "": nothing.
    """

    fault: str
    target: str
    begun: float
    healed: float = 0.0
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The resident memory of a process at a moment."""

    at: float
    process: str
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger. `windows`: a bit, 1 << number, for each in which it counts; 0: all."""

    entry_id: int
    user_id: str
    metric: str
    amount: int
    attempt_id: int | None
    of_entry_id: int | None
    source: str = ""
    reference: str = ""
    course_id: str = ""
    level_id: str = ""
    occurred_date: str = ""
    windows: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the attempts."""

    attempt_id: int
    user_id: str
    level_id: str
    request_id: str
    correct_answers: int
    total_questions: int
    voided: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A request id that PostgreSQL keeps; without a user: of an administrator's request."""

    user_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Tenure:
    """A sequencer's: it numbers from `after_sequence` + 1 on."""

    epoch: str
    after_sequence: int


@dataclass(slots=True)
class Branch:
    """One life of the database: from the beginning of the run or a restore to the next restore or
    the end. It holds everything that the database held at its end, from the first change on, also
    what was pruned, as it was when it was numbered.

    `changes`: progress.v1 Change messages, in order. `copied`: of a branch that began by a restore,
    when the copy was taken; what was acknowledged between that and `begun` may be gone.
    """

    begun: float
    copied: float | None = None
    ended: float = 0.0
    changes: list[Any] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    tenures: list[Tenure] = field(default_factory=list)


@dataclass(slots=True)
class Recorded:
    """A run. `calm_at`: when the boards in Redis of every replica were seen at the head, after all
    was healed and every write answered; None: not within the time given. `lag_s`: how long that
    took from the last healing, or from the end of the workload where that came later.

    `phases`: how many seconds each part of the run took. `deaths`: processes that ended though
    nobody had ended them.
    """

    seed: int
    duration_s: float
    calls: list[Call] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    canaries: tuple[str, ...] = ()
    lag_s: float | None = None
    calm_at: float | None = None
    phases: dict[str, float] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
