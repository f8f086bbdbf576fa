"""The states of both services for people: field by field, or on one line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp
from rich import filesize
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.calls import one_line
from shared.cli.output import plain
from shared.cli.status import S, ServiceState, States
from shared.gen.laurel.leaderboard.v1.admin_pb2 import GetStatusResponse as LeaderboardStatus
from shared.gen.laurel.progress.v1.admin_pb2 import GetStatusResponse as ProgressStatus

NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Rates:
    """Board answers per second, by the store that they came from; None where not known."""

    redis: float | None = None
    postgresql: float | None = None


UNKNOWN = Rates()


def state_views(states: States, rates: Rates = UNKNOWN) -> tuple[RenderableType, ...]:
    """One view of each service."""
    progress, leaderboard = states.progress.status, states.leaderboard.status
    return (
        _view(states.progress, {} if progress is None else _progress_facts(progress)),
        _view(
            states.leaderboard,
            {} if leaderboard is None else _leaderboard_facts(leaderboard, rates),
        ),
    )


def state_line(states: States, rates: Rates) -> str:
    """What changes from second to second, on one line."""
    progress, leaderboard = states.progress.status, states.leaderboard.status
    parts = [_name_and_health(states.progress)]
    if progress is not None:
        parts.append(f"position {progress.head.sequence:,}")
        parts.append(f"{progress.unnumbered_changes:,} not numbered yet")
    parts.append(_name_and_health(states.leaderboard))
    if leaderboard is not None:
        parts += [
            _state_word(leaderboard),
            f"applied {_applied(leaderboard)}",
            f"lag {_lag(leaderboard)}",
            f"boards {leaderboard.boards:,}, parts {leaderboard.partitions:,}",
            f"memory {filesize.decimal(leaderboard.redis_memory_bytes)}",
            f"answers from Redis {_answers(leaderboard.answers_from_redis, rates.redis)}",
            f"from PostgreSQL {_answers(leaderboard.answers_from_postgresql, rates.postgresql)}",
            f"mismatches {leaderboard.mismatches_found:,}",
            f"repaired {leaderboard.standings_repaired:,}",
        ]
    return one_line(" · ".join(parts))


def _name_and_health(state: ServiceState[S]) -> str:
    return f"{state.peer.name} {state.health or NO_ANSWER}"


def _view(state: ServiceState[S], facts: dict[str, str]) -> RenderableType:
    health = state.health or NO_ANSWER
    parts: list[RenderableType] = [
        Text(f"{state.peer.name} at {state.peer.target}: {health}", style="bold")
    ]
    if state.error is not None:
        parts.append(Text(f"  {one_line(state.error.line())}"))
    if facts:
        table = Table(box=None, show_header=False)
        for name, value in facts.items():
            table.add_row(f"  {name}", plain(value))
        parts.append(table)
    return Group(*parts)


def _progress_facts(status: ProgressStatus) -> dict[str, str]:
    return {
        "position": f"{status.head.sequence:,}",
        "history kept from": f"{status.oldest_sequence:,}",
        "not numbered yet": f"{status.unnumbered_changes:,}",
        "users": f"{status.users:,}",
        "ledger entries": f"{status.ledger_entries:,}",
        "watchers": f"{status.watchers:,}",
        "started": _time(status.start_time),
        "version": status.version,
    }


def _leaderboard_facts(status: LeaderboardStatus, rates: Rates) -> dict[str, str]:
    verified = "none since the start"
    if status.HasField("last_verify_time"):
        verified = f"{_time(status.last_verify_time)}, {status.last_verify_mismatches:,} mismatches"
    rebuilt = "none since the start"
    if status.HasField("last_rebuild_time"):
        rebuilt = _time(status.last_rebuild_time)
    return {
        "state": _state_word(status),
        "applied": _applied(status),
        "lag": _lag(status),
        "boards": f"{status.boards:,}",
        "parts of each": f"{status.partitions:,}",
        "Redis memory": filesize.decimal(status.redis_memory_bytes),
        "answers from Redis": _answers(status.answers_from_redis, rates.redis),
        "answers from PostgreSQL": _answers(status.answers_from_postgresql, rates.postgresql),
        "last rebuild": rebuilt,
        "last verification": verified,
        "standings verified": f"{status.standings_verified:,}",
        "mismatches found": f"{status.mismatches_found:,}",
        "standings repaired": f"{status.standings_repaired:,}",
        "started": _time(status.start_time),
        "version": status.version,
    }


def _state_word(status: LeaderboardStatus) -> str:
    name = LeaderboardStatus.State.Name(status.state)
    return name.removeprefix("STATE_").lower().replace("_", " ")


def _applied(status: LeaderboardStatus) -> str:
    applied = f"{status.applied.sequence:,}" if status.HasField("applied") else "nothing"
    return f"{applied} of {status.head_sequence:,}"


def _lag(status: LeaderboardStatus) -> str:
    if not status.HasField("lag"):
        return "unknown"
    return f"{status.lag.ToTimedelta().total_seconds():.3f} s"


def _answers(count: int, per_s: float | None) -> str:
    return f"{count:,}" if per_s is None else f"{count:,} ({per_s:,.1f}/s)"


def _time(moment: Timestamp) -> str:
    return f"{moment.ToDatetime(UTC):%Y-%m-%d %H:%M:%S} UTC"
