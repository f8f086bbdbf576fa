"""What can be wrong with a run's memory and its errors."""

from collections.abc import Callable
from dataclasses import replace

from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.faults import planted
from tests.faults.fabricated import Told
from tests.faults.fabricated_writes import CANARY
from tests.faults.recording import Failure, Sample

Damage = Callable[[Told], object]


def fails(told: Told, code: str, reason: str, text: str = "") -> None:
    """One more call, which fails."""
    told.call("GetRank", pb.GetUserStatsRequest(user_id="ann"))
    failure = Failure(code, reason, "no", (text,))
    told.recorded.calls[-1] = replace(told.recorded.calls[-1], failure=failure)


def _grow(told: Told) -> None:
    told.recorded.samples.append(Sample(5.0, "leaderboard-1", 1 << 40))


def _tell_a_canary(told: Told) -> None:
    fails(told, "UNAVAILABLE", "DATABASE_UNAVAILABLE", f"relation {CANARY}")


def _fail_without_a_reason(told: Told) -> None:
    fails(told, "FAILED_PRECONDITION", "")


def _fail_inside(told: Told) -> None:
    fails(told, "INTERNAL", "")


def _fail_with_a_status_for_a_reason(told: Told) -> None:
    fails(told, "UNAVAILABLE", "", "type.googleapis.com/google.rpc.ErrorInfo UNAVAILABLE")


def _damage_the_history(told: Told) -> None:
    fails(told, "FAILED_PRECONDITION", "HISTORY_DAMAGED")


def _fail_inside_with_more_than_a_request_id(told: Told) -> None:
    text = "Internal error; it is logged under request id 0f1e: KeyError"
    told.call("PutUser", catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id=planted.USER)))
    failure = Failure("INTERNAL", "", text)
    told.recorded.calls[-1] = replace(told.recorded.calls[-1], failure=failure)


def _fail_inside_elsewhere(told: Told) -> None:
    fails(told, "INTERNAL", "")
    message = "Internal error; it is logged under request id 0f1e."
    failure = Failure("INTERNAL", "", message)
    told.recorded.calls[-1] = replace(told.recorded.calls[-1], failure=failure)


def _fail_with_another_write(told: Told) -> None:
    fails(told, "UNAVAILABLE", planted.ALONE)


GROWN: list[Damage] = [_grow]
ERRED: list[Damage] = [
    _tell_a_canary,
    _fail_without_a_reason,
    _fail_inside,
    _fail_inside_with_more_than_a_request_id,
    _fail_inside_elsewhere,
    _fail_with_another_write,
    _fail_with_a_status_for_a_reason,
    _damage_the_history,
]
