"""`python -m progress_service`: what it says when it cannot start, and what it leaves behind."""

import asyncio
import json
import re
import signal
import socket
import urllib.request
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.gen.laurel.progress.v1 import catalog_pb2, catalog_pb2_grpc, progress_pb2_grpc
from shared.gen.laurel.progress.v1.progress_pb2 import RevokeXpRequest
from tests.access import open_channel
from tests.ports import free_port
from tests.progress import award, level, submission
from tests.service_process import serving, start


async def ended(process: Process) -> tuple[int | None, list[str]]:
    """Exit status and the lines on stderr; there must be none on stdout."""
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert out == b""
    return process.returncode, err.decode().splitlines()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"progress_port": "abc", "postgres_url": "postgresql://x/y"}, "LAUREL_PROGRESS_PORT: "),
        ({}, "LAUREL_POSTGRES_URL: must be set"),
    ],
)
async def test_a_bad_setting_is_one_line_and_exit_status_2(
    settings: dict[str, str], line: str
) -> None:
    status, lines = await ended(await start(**settings))
    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith(f"laurel: bad setting {line}")


@pytest.mark.parametrize("setting", ["progress_port", "metrics_port"])
async def test_a_port_that_is_taken_is_one_line_and_exit_status_1(setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"progress_port": str(free_port()), "metrics_port": "0"} | {setting: str(port)}
        status, lines = await ended(await start(postgres_url="postgresql://nowhere/x", **ports))
    assert (status, len(lines)) == (1, 1), lines
    assert lines[0].startswith("laurel: cannot ")
    assert f"127.0.0.1:{port}: " in lines[0]


async def learn(channel: aio.Channel) -> None:
    """A user, a level that pays two metrics, an award, and its revocation."""
    catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
    progress = progress_pb2_grpc.ProgressServiceStub(channel)
    user = catalog_pb2.User(user_id="ann")
    await catalog.PutUser(catalog_pb2.PutUserRequest(user=user))
    section = catalog_pb2.Section(section_id="s", levels=[level("l1")])
    course = catalog_pb2.Course(course_id="c", sections=[section])
    await catalog.PutCourse(catalog_pb2.PutCourseRequest(course=course))
    traced = (("x-request-id", "trace-1"),)
    await progress.SubmitProgress(submission("ann", "l1", 7, request_id="s1"), metadata=traced)
    await progress.SubmitProgress(submission("ann", "l1", 7, request_id="s1"))
    credit = await progress.AwardXp(award("ann", 9, source="quiz", reference="q 1"))
    await progress.AwardXp(award("ann", 9, source="quiz", reference="q 1"))
    await progress.RevokeXp(RevokeXpRequest(entry_id=credit.entry_id, request_id="v1"))


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        return str(response.read().decode())


def credit_lines(lines: list[str]) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= event.keys() for event in events)
    return [event for event in events if event["event"] == "credited"]


async def test_a_process_logs_each_credit_shows_its_metrics_and_ends_on_sigterm(
    postgres_url: str,
) -> None:
    metrics_port = free_port()
    settings = {"postgres_url": postgres_url, "metrics_port": str(metrics_port)}
    async with serving(**settings, drain_seconds="5") as (process, channel):
        await learn(channel)
        metrics = await asyncio.to_thread(scraped, metrics_port)
        process.send_signal(signal.SIGTERM)
        status, lines = await ended(process)
    assert status == 0, lines
    credits_ = credit_lines(lines)
    shown = ("user_id", "metric", "source", "level_id", "amount", "total_before", "total_after")
    assert [tuple(one[key] for key in shown) for one in credits_] == [
        ("ann", "xp", "level", "l1", 50, 0, 50),
        ("ann", "marks", "level", "l1", 70, 0, 70),
        ("ann", "xp", "quiz", "", 9, 50, 59),
        ("ann", "xp", "quiz", "", -9, 59, 50),
    ]
    assert len({one["entry_id"] for one in credits_}) == 4
    assert [one["request_id"] for one in credits_][:2] == ["trace-1", "trace-1"]
    assert credits_[2]["request_id"] not in {"", "trace-1"}
    assert [one["client_request_id"] for one in credits_][:2] == ["s1", "s1"]
    for name in (
        'laurel_rpcs_total{code="OK",method="laurel.progress.v1.ProgressService/SubmitProgress"}',
        'laurel_rpc_seconds_count{method="laurel.progress.v1.ProgressService/AwardXp"}',
        'laurel_commands_total{kind="submission",outcome="recorded"}',
        'laurel_commands_total{kind="submission",outcome="replayed"}',
        "laurel_group_seconds_count",
        "laurel_group_commands_count",
        "laurel_commands_waiting",
        "laurel_sequencer_changes_total",
        "laurel_sequencer_batches_total",
        "laurel_sequencer_batch_seconds_count",
        "laurel_sequencer_tenures_total",
        "laurel_head_sequence",
        "laurel_watchers",
        "laurel_course_job_learners_total",
        "laurel_course_job_step_seconds_count",
        "laurel_course_job_failures_total",
        "laurel_course_jobs_total",
        "laurel_published_changes_total",
        "laurel_rpcs_in_flight",
    ):
        assert re.search(rf"^{re.escape(name)}", metrics, re.MULTILINE), name


async def test_a_process_waits_for_a_database_that_is_not_up(tmp_path: Path) -> None:
    port = free_port()
    url = f"postgresql://laurel@/laurel?host={tmp_path}"
    process = await start(progress_port=str(port), metrics_port="0", postgres_url=url)
    async with open_channel(f"127.0.0.1:{port}", own_connection=True) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        answer = await stub.Check(request, timeout=20, wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    process.send_signal(signal.SIGTERM)
    status, lines = await ended(process)
    assert status == 0, lines
