"""What callers, the logs and the metrics tell when everything inside fails, and tells secrets."""

import asyncio
import json
import socket
import struct
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trustme
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.log_lines import MARGIN, MAX_BYTES
from tests.access import open_channel
from tests.ports import free_port
from tests.progress import eventually
from tests.service_process import serving, start
from tests.telling_stores import (
    ALL_FAIL,
    BROKEN,
    IN_REDIS,
    IN_SQL,
    PASSWORD,
    SECRETS,
    TOKEN,
    board_calls,
    failing_redis,
    progress_calls,
)

# What nobody outside is to be told.
INTERNAL = (
    *SECRETS,
    *(IN_SQL, IN_REDIS, "SELECT", "INSERT", "UPDATE ", "plpgsql", "WRONGTYPE"),
    *("Traceback", "asyncpg", "sqlalchemy", "/shared/", "_service/", ".py"),
)


async def told(call: Callable[[], Any]) -> str:
    """Everything that a call tells its caller."""
    try:
        answer = call()
        async with asyncio.timeout(3):
            streams = hasattr(answer, "read")
            messages = [one async for one in answer] if streams else [await answer]
    except aio.AioRpcError as error:
        trailing = b" ".join(
            value if isinstance(value, bytes) else str(value).encode()
            for pair in error.trailing_metadata() or ()
            for value in pair
        )
        text = f"{error.code().name} {error.details()} {error.debug_error_string()}"
        return f"{text} {trailing.decode(errors='replace')}"
    except TimeoutError:
        return "nothing"
    return " ".join(_text(message) for message in messages)


def _text(message: Message) -> str:
    return f"{message} {message.SerializeToString().decode(errors='replace')}"


async def reflected(channel: aio.Channel) -> str:
    """What reflection tells of a service, of nothing, and of a secret."""
    call: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="laurel.Nothing"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="/etc/passwd"),
    ]
    messages = iter([one.SerializeToString() for one in asked])
    return " ".join([answer.decode(errors="replace") async for answer in call(messages)])


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        return str(response.read().decode())


def hang_up(port: int) -> None:
    """Strangers that begin to ask for metrics, and reset the connection."""
    for said in (b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: \x1b[31m", b"\x1b[31m / x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(said)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def check_log(text: str, form: str) -> None:
    """The log is lines of its form, bounded, and none holds a secret."""
    for secret in SECRETS:
        assert secret not in text
    for line in text.removesuffix("\n").split("\n"):
        assert line.isprintable(), line
        assert len(line.encode()) <= MAX_BYTES
        if form == "json":
            assert {"event", "level", "timestamp"} <= json.loads(line).keys()
        else:
            assert line.startswith((MARGIN, "20")), line
            assert "forged" not in line or line.startswith(MARGIN) or "\\n" in line


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_database_that_fails_with_secrets_in_its_errors_tells_them_to_no_one(
    form: str, postgres_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    metrics_port = free_port()
    settings = {
        "postgres_url": postgres_url.replace("@/", f":{PASSWORD}@/"),
        "metrics_port": str(metrics_port),
        "log_format": form,
        "log_level": "debug",
    }
    with log.open("wb") as errors:
        async with serving(errors.fileno(), **settings) as (_, channel):
            sql = await asyncpg.connect(postgres_url)
            try:
                await sql.execute(ALL_FAIL)
            finally:
                await sql.close()
            answers = [await told(call) for call in progress_calls(channel)]
            stolen = ("authorization", f"Bearer {TOKEN[:-3]}"), ("x-request-id", BROKEN[1:12])
            users = CatalogServiceStub(channel)
            await asyncio.to_thread(hang_up, metrics_port)
            request = catalog_pb2.GetUserRequest(user_id=TOKEN)
            answers += [
                await told(lambda: users.GetUser(request)),
                await told(lambda: users.GetUser(request, metadata=stolen)),
                await reflected(channel),
                await asyncio.to_thread(scraped, metrics_port),
            ]

    failed = [one for one in answers if one.startswith(("INTERNAL", "UNAVAILABLE"))]
    assert len(failed) >= 15, answers
    for answer in answers:
        for inside in INTERNAL:
            assert inside not in answer
    text = log.read_text("utf-8")
    assert IN_SQL in text
    assert "call failed" in text
    assert f"{IN_SQL} detail" not in text
    assert "[SQL" not in text
    check_log(text, form)


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_redis_that_fails_with_secrets_in_its_errors_tells_them_to_no_one(
    form: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    metrics_port, progress_port = free_port(), free_port()
    async with AsyncExitStack() as stack:
        redis_port = await stack.enter_async_context(failing_redis())
        settings = {
            "redis_url": f"redis://:{PASSWORD}@127.0.0.1:{redis_port}/0",
            "progress_address": f"127.0.0.1:{progress_port}",
            "metrics_port": str(metrics_port),
            "log_format": form,
            "log_level": "debug",
        }
        errors = stack.enter_context(log.open("wb"))
        channel = await stack.enter_async_context(_leaderboard(errors.fileno(), **settings))
        answers = [await told(call) for call in board_calls(channel)]
        answers += [await reflected(channel), await asyncio.to_thread(scraped, metrics_port)]

    failed = [one for one in answers if one.startswith("UNAVAILABLE")]
    assert len(failed) >= 6, answers
    for answer in answers:
        for inside in (*INTERNAL, str(progress_port), str(redis_port)):
            assert inside not in answer
    text = log.read_text("utf-8")
    assert IN_REDIS in text
    check_log(text, form)


def refused_handshake(port: int) -> None:
    """Says something that is no TLS, and waits until that has been refused."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /\x1b[31m HTTP/1.1\r\n\r\n")
        while connection.recv(1_000):
            pass


@pytest.mark.parametrize(
    ("module", "store"),
    [
        ("progress_service", {"postgres_url": "postgresql://u@127.0.0.1:1/d"}),
        ("leaderboard_service", {"redis_url": "redis://127.0.0.1:1/0"}),
    ],
)
async def test_failed_handshakes_put_no_lines_of_others_into_the_log(
    module: str, store: dict[str, str], tmp_path: Path
) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    (tmp_path / "cert").write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
    (tmp_path / "key").write_bytes(certificate.private_key_pem.bytes())
    port, log = free_port(), tmp_path / "log"
    settings = {
        "tls_cert_file": str(tmp_path / "cert"),
        "tls_key_file": str(tmp_path / "key"),
        "metrics_port": "0",
        f"{module.removesuffix('_service')}_port": str(port),
        **store,
    }
    with log.open("wb") as errors:
        process = await start(errors.fileno(), module=module, **settings)
        try:

            async def listens() -> bool:
                return "listening" in log.read_text("utf-8")

            await eventually(listens, "the service listens")
            for _ in range(3):
                await asyncio.to_thread(refused_handshake, port)
        finally:
            process.terminate()
            await process.communicate()
    check_log(log.read_text("utf-8"), "json")


@asynccontextmanager
async def _leaderboard(errors: int, **settings: str) -> AsyncIterator[aio.Channel]:
    """LeaderboardService as a process, once it listens: with neither store it never serves."""
    port = str(free_port())
    process = await start(errors, module="leaderboard_service", leaderboard_port=port, **settings)
    try:
        async with open_channel(f"127.0.0.1:{port}", own_connection=True) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            await health.Check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
            yield channel
    finally:
        process.kill()
        await process.communicate()
