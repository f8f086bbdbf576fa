"""Every RPC and every kind of caller, through both listeners of a running stack's gateway."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from grpc import StatusCode, aio

from tests.access import open_channel
from tests.access_matrix import (
    METHODS,
    Doors,
    put_scene,
    wrongly_answered,
    wrongly_refused,
)
from tests.callers import CALLERS, Caller, Refusal
from tests.e2e.grpc_web import WEB, Stream, ask
from tests.e2e.running_stack import RunningStack, is_serving
from tests.e2e.web_rubbish import rubbish, throw
from tests.who_may import RPCS, Rpc, Target

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNBOUNDED = {
    "LAUREL_USER_CALLS_PER_SECOND": "0",
    "LAUREL_USER_CONCURRENT_CALLS": "0",
    "LAUREL_USER_STREAMS": "0",
}
LANES, THROWN_IN_LANE = 16, 125
(ANN,) = [caller for caller in CALLERS if caller.name == "user for itself"]
each_caller = pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)


@dataclass(frozen=True)
class Gates:
    """The gateway's listeners, and what there is behind them."""

    public: Doors
    admin: Doors
    targets: dict[str, Target]
    web: str


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with RunningStack(settings=UNBOUNDED) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gates(stack: RunningStack) -> AsyncIterator[Gates]:
    public, admin = stack.target("GATEWAY_PORT"), stack.target("ADMIN_GATEWAY_PORT")
    async with open_channel(stack.target("PROGRESS_PORT")) as channel:
        targets = await put_scene(channel)
    async with (
        aio.insecure_channel(public) as public_door,
        aio.insecure_channel(admin) as admin_door,
    ):
        yield Gates(Doors(public_door, public_door), Doors(admin_door, admin_door), targets, public)


def refusal_in_public(caller: Caller, rpc: Rpc) -> Refusal | None:
    """Of what is not for apps the gateway tells nothing else, whoever asks."""
    return caller.refusal(rpc) if rpc.public else (StatusCode.PERMISSION_DENIED, "NOT_PUBLIC")


@each_caller
async def test_the_public_listener_refuses_who_may_not(gates: Gates, caller: Caller) -> None:
    assert await wrongly_answered(gates.public, caller, gates.targets, refusal_in_public) == {}


@each_caller
async def test_the_public_listener_lets_in_who_may(gates: Gates, caller: Caller) -> None:
    assert await wrongly_refused(gates.public, caller, gates.targets, refusal_in_public) == {}


@each_caller
async def test_over_grpc_web_the_answers_are_the_same(gates: Gates, caller: Caller) -> None:
    outcomes = await asyncio.gather(
        *(asyncio.to_thread(asked_by_web, gates, caller, rpc) for rpc in RPCS)
    )

    expected = []
    for rpc in RPCS:
        refusal = refusal_in_public(caller, rpc)
        code, reason = refusal or (rpc.answer, "")
        expected.append((rpc.path, 200 if rpc.public else 403, code.value[0], reason))
    assert outcomes == expected


def asked_by_web(gates: Gates, caller: Caller, rpc: Rpc) -> tuple[str, int, int, str]:
    """Path, HTTP status, gRPC status and reason of a call from a page."""
    request = rpc.request(gates.targets[caller.about]).SerializeToString()
    headers = WEB | ({"authorization": caller.authorization} if caller.authorization else {})
    if METHODS[rpc.path].server_streaming and refusal_in_public(caller, rpc) is None:
        stream = Stream(gates.web, rpc.path, request, headers)
        stream.read()
        stream.close()
        return rpc.path, 200, 0, ""
    answer = ask(gates.web, rpc.path, request, headers)
    status = answer.grpc_status
    return rpc.path, answer.http_status, status, answer.reason if status else ""


@each_caller
async def test_the_listener_of_consoles_refuses_who_may_not(gates: Gates, caller: Caller) -> None:
    assert await wrongly_answered(gates.admin, caller, gates.targets, Caller.refusal) == {}


@each_caller
async def test_the_listener_of_consoles_lets_in_who_may(gates: Gates, caller: Caller) -> None:
    assert await wrongly_refused(gates.admin, caller, gates.targets, Caller.refusal) == {}


async def test_rubbish_over_grpc_web_is_answered(gates: Gates, stack: RunningStack) -> None:
    chance = random.Random(7)
    target = gates.targets["ann"]
    asked = [
        (rpc.path, rpc.request(target).SerializeToString())
        for rpc in RPCS
        if not METHODS[rpc.path].server_streaming
    ]
    lanes = [
        [rubbish(chance, asked, ANN.authorization) for _ in range(THROWN_IN_LANE)]
        for _ in range(LANES)
    ]

    found = await asyncio.gather(*(asyncio.to_thread(throw, gates.web, lane) for lane in lanes))

    wrong = [line for lines in found for line in lines]
    assert not wrong, "\n".join(wrong[:40])
    for service in ("progress", "leaderboard"):
        assert is_serving(stack.target(f"{service.upper()}_PORT"))
        log = (stack.home / "logs" / f"{service}_service.log").read_text()
        assert not [line for line in log.splitlines() if '"level":"error"' in line]
    # The connections behind the gateway are everyone's: nothing of all that is left in them.
    for rpc in RPCS:
        if refusal_in_public(ANN, rpc) is None:
            for _ in range(10):
                assert (await gates.public.ask(rpc, target, ANN.authorization)).code is rpc.answer
