"""What every service of ProgressService's server does: health, reflection, errors, drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs

from shared.embedded.postgres import EmbeddedPostgres
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2, progress_pb2
from shared.status import error_from_rpc
from tests.progress import Progress, eventually, held, level, waits_for_lock

SERVICES = [
    service
    for module in (progress_pb2, catalog_pb2, admin_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
NAMES = [service.full_name for service in SERVICES]
SERVING = int(health_pb2.HealthCheckResponse.SERVING)
NOT_SERVING = int(health_pb2.HealthCheckResponse.NOT_SERVING)


async def health(progress: Progress, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(progress.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def watched(progress: Progress, service: str) -> AsyncIterator[int]:
    """Each status that Watch tells, until the server ends."""
    stub = health_pb2_grpc.HealthStub(progress.channel)
    with suppress(aio.AioRpcError):
        async for response in stub.Watch(health_pb2.HealthCheckRequest(service=service)):
            yield response.status


async def test_every_service_is_serving_by_its_name_and_an_unknown_one_is_not_found(
    progress: Progress,
) -> None:
    for name in ("", *NAMES):
        assert await health(progress, name) == SERVING, name
    with pytest.raises(aio.AioRpcError) as caught:
        await health(progress, "laurel.progress.v1.Nothing")
    assert caught.value.code() is StatusCode.NOT_FOUND


async def test_who_watches_health_is_told_first_when_the_server_drains(progress: Progress) -> None:
    seen: dict[str, list[int]] = {name: [] for name in ("", *NAMES)}

    async def watch(name: str) -> None:
        async for status in watched(progress, name):
            seen[name].append(status)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for name in seen:
            tasks.create_task(watch(name))

        async def all_told() -> bool:
            return all(statuses == [SERVING] for statuses in seen.values())

        await eventually(all_told, "each watcher has the first status")
        await progress.app.server.drain(0.2)
    assert seen == {name: [SERVING, NOT_SERVING] for name in seen}


async def test_a_call_under_way_ends_well_while_the_server_drains_and_new_ones_are_refused(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    async with held(progress, "ann"):
        call = asyncio.create_task(progress.submit("ann", "l1"))
        await waits_for_lock(progress)
        draining = asyncio.create_task(progress.app.server.drain(20))

        async def refuses() -> bool:
            try:
                await progress.submit("ann", "l1")
            except aio.AioRpcError as error:
                return error.code() is StatusCode.UNAVAILABLE
            return False

        async def is_draining() -> bool:
            return progress.app.server.draining.is_set()

        await eventually(is_draining, "the server drains")
        await eventually(refuses, "new calls are refused")
    assert (await call).xp_earned == 50
    async with asyncio.timeout(10):
        await draining


async def test_health_follows_the_database(
    progress: Progress, postgres_server: EmbeddedPostgres
) -> None:
    await progress.put_users("ann")
    async with progress.sql() as sql:
        database = await sql.fetchval("SELECT current_database()")
    elsewhere = await asyncpg.connect(postgres_server.url("postgres"))
    try:
        with capture_logs() as logs:
            try:
                await elsewhere.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
                await elsewhere.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                    database,
                )
                for name in ("", *NAMES):

                    async def is_down(name: str = name) -> bool:
                        return await health(progress, name) == NOT_SERVING

                    await eventually(is_down, f"{name} is not serving")
                with pytest.raises(aio.AioRpcError) as caught:
                    await progress.award("ann", 1)
                assert error_from_rpc(caught.value).reason == "DATABASE_UNAVAILABLE"
            finally:
                await elsewhere.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')

            async def is_up() -> bool:
                return await health(progress, "") == SERVING

            await eventually(is_up, "the service serves again")
        assert "database does not answer" in [one["event"] for one in logs]
    finally:
        await elsewhere.close()
    assert (await progress.award("ann", 1)).total == 1
    assert await progress.top() == [(1, "ann", 1)]


async def reflect(progress: Progress, version: str, **asked: Any) -> Any:
    call = progress.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(iter([reflection_pb2.ServerReflectionRequest(**asked)]))
    (answer,) = [one async for one in call]
    return answer


async def test_reflection_in_both_versions_lists_the_services_and_clean_file_names(
    progress: Progress,
) -> None:
    for version in ("v1", "v1alpha"):
        await check_reflection(progress, version)


async def check_reflection(progress: Progress, version: str) -> None:
    listed = await reflect(progress, version, list_services="")
    found = {one.name for one in listed.list_services_response.service}
    assert found >= {*NAMES, "grpc.health.v1.Health"}
    for service in SERVICES:
        answer = await reflect(progress, version, file_containing_symbol=service.full_name)
        files = [
            FileDescriptorProto.FromString(one)
            for one in answer.file_descriptor_response.file_descriptor_proto
        ]
        own = [one for one in files if one.package == "laurel.progress.v1"]
        assert service.file.name in {one.name for one in own}
        for one in files:
            for name in (one.name, *one.dependency):
                assert name.startswith(("laurel/", "google/protobuf/", "buf/validate/"))
    assert {service.file.name for service in SERVICES} == {
        "laurel/progress/v1/progress.proto",
        "laurel/progress/v1/catalog.proto",
        "laurel/progress/v1/admin.proto",
    }
    missing = await reflect(progress, version, file_containing_symbol="laurel.Nothing")
    assert missing.error_response.error_code == StatusCode.NOT_FOUND.value[0]


async def outcome(progress: Progress, method: MethodDescriptor) -> str:
    """The reason with which a call with an empty request ends, or OK."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind = ("stream_" if method.client_streaming else "unary_") + (
        "stream" if method.server_streaming else "unary"
    )
    response_type = GetMessageClass(method.output_type)
    call = getattr(progress.channel, kind)(path, response_deserializer=response_type.FromString)(
        iter([b""]) if method.client_streaming else b""
    )
    try:
        if method.server_streaming:
            await call.read()
            call.cancel()
        else:
            await call
    except aio.AioRpcError as error:
        # grpc's own answer to an unknown method has no ErrorInfo.
        return error_from_rpc(error).reason if error.trailing_metadata() else str(error.details())
    return "OK"


async def test_every_method_of_the_contract_is_registered(progress: Progress) -> None:
    for service in SERVICES:
        later = {
            method.name
            for method in service.methods
            if await outcome(progress, method) == "UNIMPLEMENTED"
        }
        assert later == set(), service.full_name


async def test_the_text_of_an_unexpected_failure_stays_inside(progress: Progress) -> None:
    async with progress.sql() as sql:
        await sql.execute("ALTER TABLE metrics RENAME TO elsewhere")
        with capture_logs() as logs, pytest.raises(aio.AioRpcError) as caught:
            await progress.catalog.ListMetrics(
                catalog_pb2.ListMetricsRequest(), metadata=(("x-request-id", "look-here"),)
            )
    assert caught.value.code() is StatusCode.INTERNAL
    told = f"{caught.value.details()} {caught.value.debug_error_string()}"
    told += repr(caught.value.trailing_metadata())
    assert "look-here" in told
    for secret in ("SELECT", "metrics", "asyncpg", "sqlalchemy", "Traceback", "relation"):
        assert secret not in told
    failed = [one for one in logs if one["event"] == "call failed"]
    assert [one["method"] for one in failed] == ["laurel.progress.v1.CatalogService/ListMetrics"]


async def test_a_failing_stream_tells_no_more_than_a_failing_call(progress: Progress) -> None:
    async with progress.sql() as sql:
        await sql.execute("ALTER TABLE profiles RENAME TO elsewhere")
    call = progress.standings.SnapshotStandings(progress_pb2.SnapshotStandingsRequest())
    with capture_logs() as logs, pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is StatusCode.INTERNAL
    assert "profiles" not in str(caught.value.details())
    assert "call failed" in [one["event"] for one in logs]


async def test_a_request_that_is_no_message_is_refused_and_learns_nothing(
    progress: Progress,
) -> None:
    for kind, path in (
        ("unary_unary", "CatalogService/GetUser"),
        ("unary_stream", "ProgressService/WatchXpDeltas"),
        ("stream_stream", "ProgressAdminService/ImportProgress"),
    ):
        for garbage in (b"\xff\xff\xff", b"\x0a\x01\xff\x12\x01\xff"):
            call = getattr(progress.channel, kind)(f"/laurel.progress.v1.{path}")
            request = iter([garbage]) if kind == "stream_stream" else garbage
            answer = call(request)
            with capture_logs(), pytest.raises(aio.AioRpcError) as caught:
                await (answer if kind == "unary_unary" else answer.read())
            assert error_from_rpc(caught.value).reason == "MALFORMED_REQUEST"
            assert "protobuf" not in str(caught.value.details())
