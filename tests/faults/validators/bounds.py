"""Promise 7: memory stays bounded, and no error tells of the inside; every error has its reason,
but for INTERNAL, which only what is planted to fail may be answered with. No one's failure is
another's.
And: the boards are at the head again soon after all is healed.
"""

import re
from collections.abc import Iterator

from tests.faults import planted
from tests.faults.case import Case
from tests.faults.recording import Call, Failure, Stream
from tests.faults.verdict import BOUNDS, ERRORS, LAG, Verdict

MIB = 1 << 20
RSS_BYTES = {
    "progress": 208 * MIB,
    "leaderboard": 176 * MIB,
    "postgres": 448 * MIB,
    "redis": 96 * MIB,
}
"""What each process may hold, PostgreSQL with its family. A service that has started holds 100 to
130 MiB. Beyond that it buffers: some MiB for a stalled stream until that is cut off, and up to
4 MiB for a request while it is read; of both a bounded number. PostgreSQL holds 100 to 160 MiB, of
which each of its bounded connections has some. The boards of a run fit into a few MiB of Redis,
which copies itself when it rewrites its log.
"""
LAG_S = 15.0
"""Redis loads or is filled anew within a few seconds; before that a connection that was half-open
must be given up, and a tenure's lease must lapse.
"""

_EXPECTED = {
    "INVALID_ARGUMENT": {
        "INVALID_CONSISTENCY_TOKEN",
        "INVALID_FIELD",
        "INVALID_PAGE_TOKEN",
        "INVALID_SCORE",
        "MALFORMED_REQUEST",
    },
    "OUT_OF_RANGE": {"HISTORY_TRUNCATED"},
    "NOT_FOUND": {
        "ATTEMPT_NOT_FOUND",
        "COURSE_NOT_FOUND",
        "ENTRY_NOT_FOUND",
        "LEVEL_NOT_FOUND",
        "METRIC_NOT_FOUND",
        "USER_NOT_FOUND",
    },
    "FAILED_PRECONDITION": {
        "ATTEMPT_ALREADY_VOIDED",
        "ENTRY_ALREADY_REVOKED",
        "ENTRY_IS_REVOCATION",
        "EPOCH_MISMATCH",
        "LEVEL_LOCKED",
        "NOT_UNDER_REVIEW",
        "TOO_MANY_STREAK_FREEZES",
    },
    "RESOURCE_EXHAUSTED": {
        "DATABASE_BUSY",
        "QUEUE_FULL",
        "REQUEST_TOO_LARGE",
        "SERVER_BUSY",
        "TOO_MANY_CALLS",
        "TOO_MANY_CONCURRENT_CALLS",
        "TOO_MANY_FALLBACK_READS",
        "TOO_MANY_FLAGGED_ATTEMPTS",
        "TOO_MANY_READS",
        "TOO_MANY_SNAPSHOTS",
        "TOO_MANY_STREAMS",
        "TOO_MANY_VERIFICATIONS",
        "TOO_MANY_WAITERS",
        "TOO_MANY_WATCHERS",
        "VELOCITY_EXCEEDED",
    },
    "DEADLINE_EXCEEDED": {"DEADLINE_EXCEEDED", "REQUEST_TOO_SLOW"},
    "UNAVAILABLE": {
        "BOARDS_BEHIND",
        "BOARDS_REBUILDING",
        "BOARDS_UNAVAILABLE",
        "CONSTRAINT_VIOLATED",
        "DATABASE_UNAVAILABLE",
        "DRAINING",
        "NOT_NUMBERED_YET",
        "PROGRESS_UNAVAILABLE",
        "READER_STALLED",
        "REBUILD_FAILED",
        "REDIS_UNAVAILABLE",
        "ROW_BUSY",
        "STARTING",
        "USERS_BUSY",
        "USER_BUSY",
        "WRITE_NOT_VISIBLE",
    },
    "CANCELLED": set(),
}
"""The reasons that a run can bring about, by code. Not among them are those that would be a bug
here, such as HISTORY_DAMAGED, REQUEST_ID_REUSED, or PEER_REFUSED.
"""
_OF_GRPC = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
"""Codes that a client's own side of a call gives, without a reason."""
_TOO_LARGE = "Received message larger than max"
"""What gRPC says, before a service sees the request: RESOURCE_EXHAUSTED."""
_ERROR_INFO = "google.rpc.ErrorInfo"
_INTERNAL = re.compile(r"Internal error; it is logged under request id [0-9a-f]+\.")
INSIDE = (
    # who speaks
    "asyncpg",
    "sqlalchemy",
    "redis.exceptions",
    "ResponseError",
    "psycopg",
    "Traceback",
    "Unexpected <class",
    'File "',
    # what is said
    "SELECT ",
    "INSERT INTO",
    "ON CONFLICT",
    "PL/pgSQL",
    "EVALSHA",
    "evalsha",
    "WRONGTYPE",
    "NOSCRIPT",
    # what it is about: tables and keys
    "xp_entries",
    "request_keys",
    "numbered_changes",
    "pruned_changes",
    "board_buckets",
    "award_references",
    "harness.",
    "laurel:",
)
"""Texts that tell of the inside whoever wrote them, and that no message of the services has."""
OF_BOUNDS = ("SERVER_BUSY", "READER_STALLED")
"""Reasons that the crowd is such as to bring about, whatever is broken."""
PLANTED = "planted failures in "
"""And the service."""


def check(case: Case, verdict: Verdict) -> None:
    """Looks at every sample, every failure, and the lag."""
    for sample in case.recorded.samples:
        bound = RSS_BYTES.get(sample.process.split("-")[0])
        if bound is None:
            continue
        verdict.count(BOUNDS, "samples of memory")
        if sample.rss_bytes > bound:
            about = f"{sample.process} holds {sample.rss_bytes} bytes, more than {bound}"
            verdict.broken(BOUNDS, "too much memory", sample.at, about)
    for one, failure in _failures(case):
        verdict.count(ERRORS, "errors")
        if failure.reason in OF_BOUNDS:
            verdict.count(BOUNDS, failure.reason)
        about = f"{one.method} of {one.client} ({one.begun:.3f} s): {failure}"
        is_planted = planted.is_planted(one.method, one.request)
        if is_planted and (_is_internal(failure) or failure.reason == planted.ALONE):
            verdict.count(ERRORS, f"{PLANTED}{one.service}")
        elif wrong := _unexpected(failure):
            verdict.broken(ERRORS, wrong, one.ended, about)
        texts = (failure.message, failure.reason, *failure.texts)
        for word in (*case.recorded.canaries, *INSIDE):
            if any(word in text for text in texts):
                what = "an error tells of the inside"
                verdict.broken(ERRORS, what, one.ended, f"{word!r} in {about}")
    _check_lag(case, verdict)


def _failures(case: Case) -> Iterator[tuple[Call | Stream, Failure]]:
    made: list[Call | Stream] = [*case.recorded.calls, *case.recorded.streams]
    for one in made:
        if one.failure is not None:
            yield one, one.failure


def _is_internal(failure: Failure) -> bool:
    """Whether it says that there is something in the log, and nothing else."""
    told = _INTERNAL.fullmatch(failure.message)
    return bool(failure.code == "INTERNAL" and not failure.reason and told)


def _unexpected(failure: Failure) -> str:
    """What is wrong with an error; "" when it is one that a run may see."""
    expected = _EXPECTED.get(failure.code)
    if expected is None:
        return f"an error of the code {failure.code}"
    if not failure.reason:
        if failure.code == "RESOURCE_EXHAUSTED" and _TOO_LARGE in failure.message:
            return ""
        typed = any(_ERROR_INFO in text for text in failure.texts)
        own = failure.code == "DEADLINE_EXCEEDED" or not typed
        return "" if failure.code in _OF_GRPC and own else "an error without a reason"
    return "" if failure.reason in expected else f"the error {failure.reason}"


def _check_lag(case: Case, verdict: Verdict) -> None:
    lag_s = case.recorded.lag_s
    if lag_s is None:
        verdict.broken(LAG, "the boards do not catch up", case.recorded.duration_s, "no lag of 0")
        return
    verdict.count(LAG, "catching up")
    if lag_s > LAG_S:
        at = case.recorded.calm_at or 0.0
        verdict.broken(LAG, "the boards catch up late", at, f"{lag_s:.1f} s, not {LAG_S:g} s")
