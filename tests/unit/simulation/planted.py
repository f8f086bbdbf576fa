"""What the code under test takes from outside, put in the hands of the simulation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from leaderboard_service.applier import Gap
from progress_service.store.positions import Head, Position
from shared.errors import FailedPrecondition, OutOfRange
from tests.unit.simulation.history import HistoryDatabase, Numbered
from tests.unit.simulation.loop import OWNER, WALL_S, current_loop
from tests.unit.simulation.network import NamedScript

_SERVICE = "leaderboard_service"
_PUBLISHER = "progress_service.publisher"
MAX_CHANGES = 3
"""In a message, so that there are many messages."""


class _Time:
    """In the place of the module `time`."""

    def monotonic(self) -> float:
        return current_loop().time()

    def time_ns(self) -> int:
        return round((WALL_S + current_loop().time()) * 1e9)


class _Datetime:
    """In the place of the class `datetime`."""

    def now(self, _zone: object) -> datetime:
        return datetime.fromtimestamp(WALL_S + current_loop().time(), UTC)


class _Random:
    """In the place of the module `random`."""

    def uniform(self, low: float, high: float) -> float:
        return current_loop().random.uniform(low, high)


class _Secrets:
    """In the place of the module `secrets`."""

    def token_hex(self, _count: int) -> str:
        return f"{current_loop().random.getrandbits(32):08x}"


class _Log:
    """In the place of a logger: it is all in the log of events, and an error is one."""

    def info(self, event: str, **details: object) -> None:
        current_loop().note(OWNER.get("progress"), event, details)

    warning = info

    def error(self, event: str, **details: object) -> None:
        self.info(event, **details)
        error = details.get("exc_info")
        if not isinstance(error, Gap):
            current_loop().errors.append(error if isinstance(error, BaseException) else event)

    exception = error


class _Nothing:
    """In the place of metrics."""

    def __getattr__(self, name: str) -> "_Nothing":
        return self

    def __call__(self, *args: object) -> "_Nothing":
        return self


async def check_position(database: HistoryDatabase, position: Position) -> None:
    if not database.knows(position.epoch, position.sequence):
        raise FailedPrecondition("EPOCH_MISMATCH", "It is not of this history.")


async def read_head(database: HistoryDatabase) -> Head:
    at = datetime.fromtimestamp(WALL_S + database.lineage.times[-1], UTC)
    return Head(Position(database.epoch, database.head), at)


async def read_changes(
    database: HistoryDatabase, after: int, head: int, limit: int
) -> Sequence[Numbered]:
    if after >= head:
        return ()
    if after + 1 < database.first_kept:
        raise OutOfRange("HISTORY_TRUNCATED", "The history is not kept back to there.")
    return database.lineage.changes[after : min(head, after + limit)]


@contextmanager
def planted() -> Iterator[pytest.MonkeyPatch]:
    """Both services' workers use the time, the randomness and the logs of the loop that runs."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("follower", "applier", "rebuild", "upkeep", "store.loader"):
            patch.setattr(f"{_SERVICE}.{module}.time", _Time())
        for module in ("follower", "rebuild", "breaker"):
            patch.setattr(f"{_SERVICE}.{module}.random", _Random())
        for module in ("follower", "rebuild", "breaker", "upkeep", "boards", "lane"):
            patch.setattr(f"{_SERVICE}.{module}.log", _Log())
        for module in ("follower", "applier", "rebuild", "breaker", "boards", "lane"):
            patch.setattr(f"{_SERVICE}.{module}.metrics", _Nothing())
        for module in ("boards", "generations", "pruning", "reads"):
            patch.setattr(f"{_SERVICE}.store.{module}.Script", NamedScript)
        patch.setattr(f"{_SERVICE}.store.keys.secrets", _Secrets())
        for name, seconds in (("POINTER", 1.5), ("FLOORS", 3.0), ("SWEEP", 5.0)):
            patch.setattr(f"{_SERVICE}.upkeep._{name}_S", seconds)
        _plant_publisher(patch)
        yield patch


def _plant_publisher(patch: pytest.MonkeyPatch) -> None:
    def message_of(row: Numbered) -> Any:
        return row.served

    patch.setattr(
        f"{_PUBLISHER}.positions",
        SimpleNamespace(check_position=check_position, read_head=read_head),
    )
    patch.setattr(f"{_PUBLISHER}.history", SimpleNamespace(read_changes=read_changes))
    patch.setattr(f"{_PUBLISHER}.change_message", message_of)
    patch.setattr(f"{_PUBLISHER}.MAX_CHANGES", MAX_CHANGES)
    patch.setattr(f"{_PUBLISHER}.datetime", _Datetime())
    patch.setattr(f"{_PUBLISHER}.metrics", _Nothing())
    patch.setattr(f"{_PUBLISHER}.log", _Log())
