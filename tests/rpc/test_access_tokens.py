"""What the claims of a token let its bearer do, for how long, and what needs none."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from progress_service.settings import ProgressSettings
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from tests.access import bearer
from tests.access_matrix import METHODS
from tests.access_world import World, open_world
from tests.byte_call import Answer, call, converse
from tests.conftest import running_progress
from tests.who_may import ADMIN, RPCS, SERVICE, USER, Rpc

in_module_loop = pytest.mark.asyncio(loop_scope="module")
LIFE_S = 2
STREAMS = [rpc for rpc in RPCS if rpc.name.startswith("Watch") or rpc.name == "ImportProgress"]
"""Those that do not end by themselves."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(stores: tuple[str, str]) -> AsyncIterator[World]:
    # A token ends when it says so, not some time later.
    async with open_world(*stores, auth_leeway_seconds=0) as found:
        yield found


ROLE_CLAIMS: list[tuple[Any, str]] = [
    (["service"], SERVICE),
    ("service", SERVICE),
    ("user service", SERVICE),
    (["user", "admin", "service"], ADMIN),
    ("openid profile admin", ADMIN),
    (["other"], USER),
    ([], USER),
    ("", USER),
    (None, USER),
    (["ADMIN", "Admin", "admin ", "administrator", "user,admin"], USER),
    ([["admin"], {"admin": True}, 3, None], USER),
    ({"admin": True}, USER),
    (True, USER),
    (3, USER),
]


async def role_of(channel: aio.Channel, authorization: str) -> str:
    """The highest role whose calls the bearer may make."""
    asked = {
        ADMIN: ("ProgressAdminService/GetStatus", admin_pb2.GetStatusRequest()),
        SERVICE: ("CatalogService/ListUsers", catalog_pb2.ListUsersRequest()),
        USER: ("CatalogService/ListMetrics", catalog_pb2.ListMetricsRequest()),
    }
    for role, (name, request) in asked.items():
        answer = await call(
            channel,
            METHODS[f"/laurel.progress.v1.{name}"],
            request.SerializeToString(),
            metadata=(("authorization", authorization),),
        )
        if answer.code is StatusCode.OK:
            return role
        assert answer.reason == "ROLE_REQUIRED"
    raise AssertionError("it may call nothing")


@in_module_loop
@pytest.mark.parametrize(("claim", "role"), ROLE_CLAIMS)
async def test_the_highest_known_role_counts_and_without_one_a_caller_is_a_user(
    world: World, claim: object, role: str
) -> None:
    assert await role_of(world.doors.progress, bearer(roles=claim)) == role


async def test_the_roles_are_in_the_claim_that_a_setting_names(postgres_url: str) -> None:
    settings = ProgressSettings(
        postgres_url=postgres_url, drain_seconds=0.5, auth_roles_claim="realm_access.roles"
    )
    async with (
        running_progress(settings) as progress,
        aio.insecure_channel(progress.target) as channel,
    ):
        nested = bearer(roles=None, realm_access={"roles": [SERVICE]})
        assert await role_of(channel, nested) == SERVICE
        named: dict[str, Any] = {"realm_access.roles": [ADMIN]}
        literal = bearer(roles=None, **named)
        assert await role_of(channel, literal) == ADMIN
        for ignored in (
            bearer(roles=[ADMIN]),
            bearer(roles=None, realm_access=[ADMIN]),
            bearer(roles=None, realm_access={"roles": {"roles": [ADMIN]}}),
        ):
            assert await role_of(channel, ignored) == USER


@in_module_loop
async def test_streams_end_with_the_token_that_opened_them(world: World) -> None:
    end = int(time.time()) + LIFE_S
    token = bearer(SERVICE, "backend", exp=end)

    answers = await asyncio.gather(*(until_its_end(world, rpc, token) for rpc in STREAMS))

    ended = {rpc.path: (answer.code, answer.reason) for rpc, answer in answers}
    assert ended == {rpc.path: (StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED") for rpc in STREAMS}
    assert 0 <= time.time() - end < 15
    # It was known, and is no more.
    again = await world.doors.ask(STREAMS[0], world.targets["ann"], token)
    assert (again.code, again.reason) == (StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def until_its_end(world: World, rpc: Rpc, token: str) -> tuple[Rpc, Answer]:
    """The end of a stream that its caller neither ends nor stops reading."""
    channel = world.doors.progress if rpc.is_of_progress else world.doors.leaderboard
    method = METHODS[rpc.path]
    request = rpc.request(world.targets["ann"]).SerializeToString()
    metadata = (("authorization", token),)
    if method.client_streaming:
        answer = await converse(channel, method, [request], metadata=metadata, stay=True)
    else:
        answer = await call(channel, method, request, metadata=metadata, read=1_000)
    return rpc, answer


@in_module_loop
async def test_health_is_open_to_everyone(world: World) -> None:
    for channel in (world.doors.progress, world.doors.leaderboard):
        health = health_pb2_grpc.HealthStub(channel)
        for metadata in ((), (("authorization", "Bearer nonsense"),)):
            answer = await health.Check(health_pb2.HealthCheckRequest(), metadata=metadata)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def reflected(channel: aio.Channel) -> list[str]:
    """The services that reflection lists, to one who has no token."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    (answer,) = [one async for one in call]
    return [one.name for one in answer.list_services_response.service]


@in_module_loop
async def test_reflection_lists_the_services_unless_it_is_switched_off(world: World) -> None:
    for channel in (world.doors.progress, world.doors.leaderboard):
        assert any(name.startswith("laurel.") for name in await reflected(channel))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_without_reflection_nobody_is_told_the_contract(
    postgres_url: str, version: str
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, reflection=False)
    async with (
        running_progress(settings) as progress,
        aio.insecure_channel(progress.target) as channel,
    ):
        asked: Any = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(aio.AioRpcError) as refused:
            await asked(metadata=(("authorization", bearer()),)).read()
    assert refused.value.code() is StatusCode.UNIMPLEMENTED
