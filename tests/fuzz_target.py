"""Both services as processes of their own, and rubbish thrown at them."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil
from google.protobuf.descriptor import MethodDescriptor
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.embedded.public_methods import path_of
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from tests import access, service_process
from tests.access_matrix import put_scene
from tests.byte_call import Answer, Metadata, call, converse
from tests.ports import free_port
from tests.progress import award
from tests.who_may import ADMIN, SERVICE, USER, Target

IN_FLIGHT = 200
FINE = {
    StatusCode.OK,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.ALREADY_EXISTS,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.OUT_OF_RANGE,
    StatusCode.PERMISSION_DENIED,
    StatusCode.UNAUTHENTICATED,
    StatusCode.RESOURCE_EXHAUSTED,
}
BUSY = {"BOARDS_REBUILDING"}
"""Reasons of UNAVAILABLE that say what keeps the service busy."""
MAX_TEXT_CHARS = 500
MAX_LOG_LINE_CHARS = 8_192
_TELLS_TOO_MUCH = re.compile(
    r"Traceback|File \"|\.py\b|asyncpg|sqlalchemy|psycopg|postgres|Redis|redis\.|SELECT |INSERT |"
    r"UPDATE |DELETE |relation \"|EVALSHA|eyJ|0x[0-9a-f]{6}|object at"
)
TOKENS = {
    ADMIN: access.bearer(ADMIN, "root"),
    SERVICE: access.bearer(SERVICE, "backend"),
    USER: access.bearer(USER, "ann"),
    "nobody": "",
}
_TO_PROGRESS = "/laurel.progress."


class Input(NamedTuple):
    """One call: its requests, of which only an import has several, and what it says beside them."""

    method: MethodDescriptor
    request: bytes
    metadata: Metadata
    more: tuple[bytes, ...] = ()
    timeout_s: float | None = None
    """None: as long as such a call may take."""


def by(role: str) -> Metadata:
    """What makes a call one of that role."""
    return (("authorization", TOKENS[role]),) if TOKENS[role] else ()


@dataclass
class FuzzTarget:
    """Where the services are, what is there, and what came of the calls until now."""

    processes: dict[str, psutil.Process]
    channels: dict[str, aio.Channel]
    logs: dict[str, Path]
    ports: dict[str, int]
    targets: dict[str, Target]
    wrong: list[str] = field(default_factory=list)
    """What was wrong with answers, a line each."""
    codes: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    """By service."""

    async def throw(self, inputs: Iterable[Input]) -> None:
        """Makes the calls, many at a time."""
        left = iter(inputs)

        async def worker() -> None:
            for one in left:
                await self._throw(one)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(worker())

    async def _throw(self, one: Input) -> None:
        answer = await self.ask(one)
        self.codes[answer.code.name] += 1
        path = path_of(one.method)
        self.wrong += [
            f"{path} {why}: {answer} for {one!r:.2000}" for why in wrong_with(one, answer)
        ]

    async def ask(self, one: Input) -> Answer:
        """One call."""
        is_of_progress = path_of(one.method).startswith(_TO_PROGRESS)
        service = "progress" if is_of_progress else "leaderboard"
        channel = self.channels[service]
        timeout_s = _deadline(one.method) if one.timeout_s is None else one.timeout_s
        self.calls[service] += 1
        return await (
            converse(
                channel,
                one.method,
                [one.request, *one.more],
                metadata=one.metadata,
                timeout_s=timeout_s,
            )
            if one.more
            else call(channel, one.method, one.request, metadata=one.metadata, timeout_s=timeout_s)
        )

    def memory(self) -> dict[str, int]:
        """The bytes that each process has in memory."""
        return {name: one.memory_info().rss for name, one in self.processes.items()}

    async def check_well(self) -> None:
        """Both live, are SERVING, and answer as ever; nothing unforeseen is in their logs."""
        for name, channel in self.channels.items():
            assert self.processes[name].is_running(), name
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, name
        metadata = by(ADMIN)
        put = catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id="well"))
        catalog = CatalogServiceStub(self.channels["progress"])
        await catalog.PutUser(put, metadata=metadata, timeout=20)
        record = ProgressServiceStub(self.channels["progress"])
        credit = await record.AwardXp(award("well", 1), metadata=metadata, timeout=20)
        rank = leaderboard_pb2.GetRankRequest(
            user_id="well", consistency_token=credit.consistency_token
        )
        boards = LeaderboardServiceStub(self.channels["leaderboard"])
        found = await boards.GetRank(rank, metadata=metadata, timeout=20)
        assert found.HasField("entry")
        logged = self.wrong_in_logs()
        assert not logged, "\n".join(logged[:5])

    def wrong_in_logs(self) -> list[str]:
        """Lines of an error, over-long ones, and those that are not what a service writes."""
        return [
            f"{name}: {line[:2000]}"
            for name, path in self.logs.items()
            for line in path.read_text().splitlines()
            if _is_wrong(line)
        ]


def _is_wrong(line: str) -> bool:
    if len(line) > MAX_LOG_LINE_CHARS:
        return True
    try:
        event = json.loads(line)
    except ValueError:
        return True
    return not isinstance(event, dict) or event.get("level") not in {"info", "warning"}


# They run until they are done, or for ever: they are cut off.
_SLOW = {"BackfillTotals", "VerifyLedger", "RebuildBoards", "VerifyBoards", "SnapshotStandings"}
_WAIT = {"ResolveConsistencyToken", "RecalculateCourse", "ExportUser", "ImportProgress"}


def is_slow(method: MethodDescriptor) -> bool:
    """Whether a call of it is a job."""
    return method.name in _SLOW


def _may_be_cut_off(method: MethodDescriptor) -> bool:
    return method.name in _SLOW | _WAIT or method.name.startswith("Watch")


def _deadline(method: MethodDescriptor) -> float:
    return 0.5 if _may_be_cut_off(method) else 20.0


def wrong_with(one: Input, answer: Answer) -> list[str]:
    """What no answer may be, whatever was asked."""
    found = []
    may_be_cut_off = one.timeout_s is not None or _may_be_cut_off(one.method)
    cut_off = answer.code is StatusCode.DEADLINE_EXCEEDED and may_be_cut_off
    busy = answer.code is StatusCode.UNAVAILABLE and answer.reason in BUSY
    given_up = answer.code is StatusCode.CANCELLED and bool(one.more)
    if answer.code not in FINE and not (cut_off or busy or given_up):
        found.append(f"is {answer.code.name}")
    if len(answer.message) > MAX_TEXT_CHARS:
        found.append("says too much")
    if _TELLS_TOO_MUCH.search(answer.message):
        found.append("tells what is inside")
    return found


@asynccontextmanager
async def fuzz_target(postgres_url: str, redis_url: str, folder: Path) -> AsyncIterator[FuzzTarget]:
    """Both services, SERVING, with the usual scene; callers have no bounds."""
    folder.mkdir()
    unbounded = {"user_calls_per_second": "0", "user_concurrent_calls": "0", "user_streams": "0"}
    ports = {name: str(free_port()) for name in ("progress", "leaderboard")}
    logs = {name: folder / name for name in ports}
    async with AsyncExitStack() as stack:
        processes, channels = {}, {}
        stores = {
            "progress": {"postgres_url": postgres_url},
            "leaderboard": {
                "redis_url": redis_url,
                "progress_address": f"127.0.0.1:{ports['progress']}",
            },
        }
        for name, port in ports.items():
            errors = stack.enter_context(logs[name].open("wb"))
            settings = {f"{name}_port": port, "metrics_port": "0", **unbounded, **stores[name]}
            process, _ = await stack.enter_async_context(
                service_process.serving(errors.fileno(), f"{name}_service", **settings)
            )
            processes[name] = psutil.Process(process.pid)
            options = [("grpc.max_send_message_length", -1)]
            channels[name] = await stack.enter_async_context(
                aio.insecure_channel(f"127.0.0.1:{port}", options=options)
            )
        async with access.open_channel(f"127.0.0.1:{ports['progress']}") as channel:
            targets = await put_scene(channel)
        numbers = {name: int(port) for name, port in ports.items()}
        yield FuzzTarget(processes, channels, logs, numbers, targets)
