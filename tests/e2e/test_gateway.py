"""gRPC-Web and CORS through the gateway of a running stack."""

import asyncio
import http.client
import struct
from collections.abc import Iterator, Mapping

import grpc
import pytest

from shared.channels import open_channel
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import catalog_pb2, progress_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from tests.e2e.running_stack import RunningStack
from tests.progress import award

TOP = "/laurel.leaderboard.v1.LeaderboardService/GetTop"
WATCH_TOP = "/laurel.leaderboard.v1.LeaderboardService/WatchTop"
WATCH_RANK = "/laurel.leaderboard.v1.LeaderboardService/WatchRank"
AWARD = "/laurel.progress.v1.ProgressService/AwardXp"
WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with RunningStack() as running:
        yield running


def ask(
    stack: RunningStack, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port("GATEWAY_PORT"), timeout=10)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


class Stream:
    """A streaming call over gRPC-Web, read a message at a time."""

    def __init__(self, stack: RunningStack, path: str, message: bytes) -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", stack.port("GATEWAY_PORT"), timeout=25
        )
        self._connection.request("POST", path, framed(message), WEB)
        self._response = self._connection.getresponse()

    def read(self) -> bytes:
        flag, length = struct.unpack(">BI", self._response.read(5))
        assert flag == 0, self._response.read(length)
        return self._response.read(length)

    def close(self) -> None:
        self._connection.close()


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """The frames of a gRPC-Web answer: flag (0x80: trailers) and content."""
    found = []
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        found.append((flag, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def test_a_call_over_grpc_web_is_answered(stack: RunningStack) -> None:
    request = leaderboard_pb2.GetTopRequest(page_size=5)

    response, body = ask(stack, "POST", TOP, WEB, framed(request.SerializeToString()))

    assert response.status == 200
    (flag, message), (trailer_flag, trailers) = frames(body)
    assert (flag, trailer_flag) == (0, 0x80)
    assert leaderboard_pb2.GetTopResponse.FromString(message).HasField("state")
    assert b"grpc-status:0" in trailers


def test_an_error_over_grpc_web_has_status_and_details(stack: RunningStack) -> None:
    request = leaderboard_pb2.GetTopRequest(page_token="nonsense")

    response, body = ask(stack, "POST", TOP, WEB, framed(request.SerializeToString()))

    status = (
        response.headers.get("grpc-status")
        or dict(line.split(b":", 1) for line in frames(body)[-1][1].splitlines())[
            b"grpc-status"
        ].decode()
    )
    assert int(status) == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    details = response.headers.get("grpc-status-details-bin") or body.decode("latin-1")
    assert "grpc-status-details-bin" in response.headers or "grpc-status-details-bin" in details


async def test_watches_over_grpc_web_tell_of_changes_and_outlast_every_timeout(
    stack: RunningStack,
) -> None:
    board = types_pb2.Board(metric="watched")
    asked = leaderboard_pb2.WatchTopRequest(board=board, count=3).SerializeToString()
    top = await asyncio.to_thread(Stream, stack, WATCH_TOP, asked)
    asked = leaderboard_pb2.WatchRankRequest(board=board, user_id="wat").SerializeToString()
    rank = await asyncio.to_thread(Stream, stack, WATCH_RANK, asked)

    async def next_top() -> leaderboard_pb2.WatchTopResponse:
        return leaderboard_pb2.WatchTopResponse.FromString(await asyncio.to_thread(top.read))

    async def next_rank() -> leaderboard_pb2.WatchRankResponse:
        return leaderboard_pb2.WatchRankResponse.FromString(await asyncio.to_thread(rank.read))

    assert not (await next_top()).entries
    assert not (await next_rank()).HasField("entry")
    # Nothing changes for 15 s: longer than Envoy would let a stream live by itself.
    assert (await next_top()).keep_alive
    assert (await next_rank()).keep_alive
    async with open_channel(stack.target("PROGRESS_PORT")) as channel:
        user = catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id="wat"))
        await CatalogServiceStub(channel).PutUser(user, timeout=10)
        metric = catalog_pb2.PutMetricRequest(metric=catalog_pb2.Metric(metric="watched"))
        await CatalogServiceStub(channel).PutMetric(metric, timeout=10)
        await ProgressServiceStub(channel).AwardXp(award("wat", 7, metric="watched"), timeout=10)
    assert [entry.score for entry in (await next_top()).entries] == [7]
    assert (await next_rank()).entry.rank == 1
    top.close()
    rank.close()


async def test_plain_grpc_goes_through_the_gateway_too(stack: RunningStack) -> None:
    async with open_channel(stack.target("GATEWAY_PORT")) as channel:
        answer = await LeaderboardServiceStub(channel).GetTop(
            leaderboard_pb2.GetTopRequest(), timeout=10
        )
    assert answer.HasField("state")


def test_every_answer_names_its_request(stack: RunningStack) -> None:
    response, _ = ask(stack, "POST", TOP, WEB, framed(b""))

    assert response.headers["x-request-id"]


async def test_nobody_outside_can_say_whom_a_call_acts_for(stack: RunningStack) -> None:
    outside, inside = award("ann", 1, source="outside"), award("ann", 2, source="inside")
    async with open_channel(stack.target("PROGRESS_PORT")) as channel:
        service = ProgressServiceStub(channel)
        user = catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id="ann"))
        await CatalogServiceStub(channel).PutUser(user, timeout=10)

        headers = WEB | {"x-laurel-actor": "mallory"}
        await asyncio.to_thread(
            ask, stack, "POST", AWARD, headers, framed(outside.SerializeToString())
        )
        await service.AwardXp(inside, metadata=(("x-laurel-actor", "tutor"),), timeout=10)

        asked = progress_pb2.ListXpEntriesRequest(user_id="ann")
        entries = (await service.ListXpEntries(asked, timeout=10)).entries
    assert {one.source: one.actor for one in entries} == {"outside": "", "inside": "tutor"}


def preflight(stack: RunningStack, origin: str) -> http.client.HTTPResponse:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web,grpc-timeout",
    }
    return ask(stack, "OPTIONS", TOP, headers)[0]


def test_a_page_of_this_machine_may_call(stack: RunningStack) -> None:
    response = preflight(stack, "http://localhost:5173")

    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert "x-grpc-web" in response.headers["access-control-allow-headers"]
    answer, _ = ask(stack, "POST", TOP, WEB | {"origin": "http://localhost:5173"}, framed(b""))
    assert "grpc-status-details-bin" in answer.headers["access-control-expose-headers"]


def test_a_page_of_elsewhere_may_not(stack: RunningStack) -> None:
    response = preflight(stack, "https://localhost.evil.example")

    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "path", ["/", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/laurel.types.v1.X"]
)
def test_nothing_else_is_reachable(stack: RunningStack, path: str) -> None:
    response, _ = ask(stack, "POST", path, {"content-type": "text/plain"})

    assert response.status == 404
