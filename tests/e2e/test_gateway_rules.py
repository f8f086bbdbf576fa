"""What the gateway lets through, and what it answers by itself."""

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from shared.embedded.public_methods import methods, path_of, public_methods
from tests.access import bearer
from tests.e2e.gateway_peer import Gateway, call, details, dialled, running_gateway
from tests.e2e.grpc_web import TEXT, WEB, Stream, ask, framed, preflight, request
from tests.e2e.running_stack import until

TOP = "/laurel.leaderboard.v1.LeaderboardService/GetTop"
WATCH_TOP = "/laurel.leaderboard.v1.LeaderboardService/WatchTop"
PUT_COURSE = "/laurel.progress.v1.CatalogService/PutCourse"
IMPORT = "/laurel.progress.v1.ProgressAdminService/ImportProgress"
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
PAGE = {"origin": "http://localhost:5173"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def first_answer(channel: Any, method: MethodDescriptor) -> Any:
    """Makes a call as an administrator, and leaves it when it is answered."""
    answers: Any
    path, metadata = path_of(method), (("authorization", bearer("admin")),)
    if method.client_streaming and method.server_streaming:
        answers = channel.stream_stream(path)(iter([b"x"]), timeout=10, metadata=metadata)
    elif method.server_streaming:
        answers = channel.unary_stream(path)(b"", timeout=10, metadata=metadata)
    elif method.client_streaming:
        return channel.stream_unary(path)(iter([b"x"]), timeout=10, metadata=metadata)
    else:
        return channel.unary_unary(path)(b"", timeout=10, metadata=metadata)
    answer = next(answers)
    answers.cancel()
    return answer


def refused(target: str, path: str, message: bytes = b"", **metadata: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as failed:
        call(target, path, message, **metadata)
    return failed.value


def test_the_public_listener_passes_the_public_methods_alone_whatever_the_token(
    gateway: Gateway,
) -> None:
    gateway.peer.paths()
    public = {path_of(method) for method in public_methods()}
    refusals = {}
    with dialled(gateway.public) as channel:
        for method in methods():
            try:
                first_answer(channel, method)
            except grpc.RpcError as error:
                refusals[path_of(method)] = details(error)

    assert gateway.peer.paths() == public
    everything = {path_of(method) for method in methods()}
    refusal = (grpc.StatusCode.PERMISSION_DENIED, "NOT_PUBLIC")
    assert refusals == dict.fromkeys(everything - public, refusal)
    assert 0 < len(public) < len(everything)


def test_the_admin_listener_passes_every_method(gateway: Gateway) -> None:
    gateway.peer.paths()
    with dialled(gateway.admin) as channel:
        for method in methods():
            first_answer(channel, method)

    assert gateway.peer.paths() == {path_of(method) for method in methods()}


@pytest.mark.parametrize("path", [HEALTH, REFLECTION, "/", "/laurel.progress.v1.X/Y", TOP + "/"])
def test_nothing_outside_the_contract_is_public(gateway: Gateway, path: str) -> None:
    assert details(refused(gateway.public, path)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "NOT_PUBLIC",
    )
    assert request(gateway.public, "GET", path, {}).http_status == 403


@pytest.mark.parametrize("path", [HEALTH, REFLECTION, "/"])
def test_nothing_outside_the_contract_is_there_for_administrators(
    gateway: Gateway, path: str
) -> None:
    assert refused(gateway.admin, path).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "path",
    [
        f"/x/..{PUT_COURSE}",
        f"{TOP}/../../..{PUT_COURSE}",
        f"//{PUT_COURSE}",
        PUT_COURSE.replace("/PutCourse", "%2FPutCourse"),
        f"{PUT_COURSE}?{TOP}",
        f"{PUT_COURSE}#{TOP}",
        TOP.upper(),
    ],
)
def test_no_spelling_of_a_path_gets_around_the_list(gateway: Gateway, path: str) -> None:
    gateway.peer.paths()

    assert ask(gateway.public, path).reason in {"NOT_PUBLIC", "MALFORMED_CALL"}
    assert gateway.peer.paths() == set()


def test_a_page_can_read_that_a_method_is_not_public(gateway: Gateway) -> None:
    allowed = preflight(gateway.public, PUT_COURSE, PAGE["origin"])
    answer = ask(gateway.public, PUT_COURSE, headers=WEB | PAGE)

    assert allowed.headers["access-control-allow-origin"] == PAGE["origin"]
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert answer.http_status == 403
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
    assert answer.grpc_status == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert answer.reason == "NOT_PUBLIC"


def test_tokens_pass_and_only_backends_and_consoles_say_whom_they_act_for(
    gateway: Gateway,
) -> None:
    told = {}
    for target in (gateway.public, gateway.admin):
        gateway.peer.received.clear()
        call(target, TOP, authorization="Bearer one", x_laurel_actor="ann", x_request_id="mine")
        told[target] = gateway.peer.received.pop().metadata

    assert {one["authorization"] for one in told.values()} == {"Bearer one"}
    assert "x-laurel-actor" not in told[gateway.public]
    assert told[gateway.admin]["x-laurel-actor"] == "ann"
    assert "mine" not in {one["x-request-id"] for one in told.values()}


@pytest.mark.parametrize("headers", [WEB, TEXT], ids=["binary", "text"])
def test_both_encodings_of_grpc_web_are_answered_in_kind(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    answer = ask(gateway.public, TOP, b"asked", headers)

    assert answer.headers["content-type"].startswith(headers["content-type"])
    assert (answer.grpc_status, answer.messages) == (0, [b""])


@pytest.mark.parametrize("headers", [WEB, TEXT], ids=["binary", "text"])
def test_a_request_of_more_than_64_kib_is_refused_to_an_app(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    largest = b"x" * 65_536

    call(gateway.public, TOP, largest)
    assert ask(gateway.public, TOP, largest, headers).grpc_status == 0
    too_large = (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    assert details(refused(gateway.public, TOP, largest + b"x")) == too_large
    answer = ask(gateway.public, TOP, largest + b"x", headers | PAGE)
    assert (answer.grpc_status, answer.reason) == (too_large[0].value[0], too_large[1])
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
    call(gateway.admin, PUT_COURSE, b"x" * 1_000_000)


@pytest.mark.parametrize("kind", ["application/json", "application/grpc-web+json", "text/grpc", ""])
def test_what_is_no_call_of_grpc_is_told_so(gateway: Gateway, kind: str) -> None:
    gateway.peer.paths()

    for target in (gateway.public, gateway.admin):
        headers = PAGE | {"content-type": kind}
        answer = request(target, "POST", TOP, headers, framed(b""))
        assert answer.http_status == 415
        assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
        assert request(target, "GET", TOP, WEB).http_status == 415
        assert preflight(target, TOP, PAGE["origin"]).http_status == 200
    assert gateway.peer.paths() == set()


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("Basic YTpi", "TOKEN_MISSING"),
        ("Bearer", "TOKEN_MISSING"),
        ("Bearer a b", "TOKEN_INVALID"),
        ("Bearer a,b", "TOKEN_INVALID"),
        ("Bearer a\tb", "TOKEN_INVALID"),
        ("Bearer \xe9", "TOKEN_INVALID"),
    ],
)
def test_what_cannot_be_a_token_is_refused_at_the_edge(
    gateway: Gateway, authorization: str, reason: str
) -> None:
    gateway.peer.paths()

    answer = ask(gateway.public, TOP, headers=WEB | PAGE | {"authorization": authorization})

    refusal = (grpc.StatusCode.UNAUTHENTICATED.value[0], reason)
    assert (answer.http_status, answer.grpc_status, answer.reason) == (200, *refusal)
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
    elsewhere = ask(gateway.public, PUT_COURSE, headers=WEB | {"authorization": authorization})
    assert elsewhere.reason == "NOT_PUBLIC"
    assert gateway.peer.paths() == set()


def test_two_tokens_in_one_call_are_none(gateway: Gateway) -> None:
    two = (("authorization", "Bearer a"), ("authorization", "Bearer b"))
    with dialled(gateway.public) as channel:
        failed = channel.unary_unary(TOP).future(b"", timeout=10, metadata=two).exception()

    assert details(failed) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


def test_a_call_is_passed_on_before_its_request_is_there(gateway: Gateway) -> None:
    gateway.peer.paths()
    to_send: queue.Queue[bytes] = queue.Queue()

    with dialled(gateway.public) as channel:
        call = channel.stream_unary(TOP).future(iter(to_send.get, b"end"), timeout=10)
        until(lambda: gateway.peer.paths() == {TOP}, 10, "the call")
        to_send.put(b"request")
        to_send.put(b"end")
        assert call.result() == b""


def test_answers_of_a_stream_are_not_held_back(gateway: Gateway) -> None:
    gateway.peer.answer = b"first"
    stream = Stream(gateway.public, WATCH_TOP, b"")
    try:
        assert stream.read() == b"first"
    finally:
        stream.close()
        gateway.peer.answer = b""


def test_an_import_is_passed_on_while_it_is_sent(gateway: Gateway) -> None:
    to_send: queue.Queue[bytes] = queue.Queue()

    with dialled(gateway.admin) as channel:
        answers = channel.stream_stream(IMPORT)(iter(to_send.get, b"end"), timeout=10)
        for message in (b"one", b"two"):
            to_send.put(message)
            assert next(answers) == message
        to_send.put(b"end")
        assert list(answers) == []


def test_a_line_of_the_log_is_bounded_and_cannot_be_forged(tmp_path: Path) -> None:
    forged = '{"path":"forged"}'
    with running_gateway(tmp_path) as gateway:
        gateway.peer.paths()
        secret = {"authorization": "Bearer secret", "user-agent": "x" * 5_000}
        ask(gateway.public, f"{TOP}?token=secret", headers=WEB | secret)
        ask(gateway.public, f'/"{forged}/%0a{forged}', headers=WEB | secret)
        strange = {"content-type": f'{"x" * 500}"{forged}', "origin": f'"\t{forged}' * 50}
        request(gateway.public, "POST", "/" + "x" * 5_000, secret | strange, framed(b""))
        until(lambda: len(gateway.log.splitlines()) >= 3, 10, "three lines")
        log = gateway.log

    lines = [json.loads(line) for line in log.splitlines()]
    assert len(lines) == 3
    assert all(line["request_id"] and line["listener"] == "public" for line in lines)
    assert lines[0]["path"] == TOP
    assert "forged" not in {line["path"] for line in lines}
    assert "secret" not in log
    assert max(map(len, log.splitlines())) < 1_500
