"""What a caller may do at the public listener in a second, and who shares a bucket: spellings of
one token, and calls of one address.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.e2e.gateway_peer import Gateway, call, details, dialled, running_gateway
from tests.e2e.grpc_web import WEB, ask, preflight

TOP = "/laurel.leaderboard.v1.LeaderboardService/GetTop"
PAGE = {"origin": "http://localhost:5173"}
CALLS = 60
USER, ADDRESS = 8, 20
"""What passes at once: of a token, and of an address. The next comes after a fourth, or a
twentieth, of a second: less than `CALLS` by far.
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It believes one proxy what it says of addresses."""
    folder = tmp_path_factory.mktemp("buckets")
    with running_gateway(
        folder, user_calls_per_second=1, gateway_users_per_address=ADDRESS, gateway_trusted_hops=1
    ) as running:
        yield running


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It lets through 4 calls of a caller in a second, and 8 at once."""
    folder = tmp_path_factory.mktemp("slow")
    with running_gateway(
        folder, user_calls_per_second=1, gateway_users_per_address=1_000
    ) as running:
        yield running


def passed(gateway: Gateway, calls: Iterable[tuple[str, str]]) -> int:
    """How many of the calls, each with an address and a token, are passed on."""
    answers = [
        ask(
            gateway.public,
            TOP,
            headers=WEB | {"x-forwarded-for": address, "authorization": f"Bearer {token}"},
        )
        for address, token in calls
    ]
    refused = [one for one in answers if one.grpc_status]
    limited = (grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "TOO_MANY_CALLS")
    assert {(one.grpc_status, one.reason) for one in refused} <= {limited}
    return len(answers) - len(refused)


def test_a_token_with_another_signature_is_the_same_one(gateway: Gateway) -> None:
    calls = [(f"10.1.0.{n}", f"one.token.{n}{'=' * n}") for n in range(CALLS)]

    assert USER <= passed(gateway, calls) < CALLS / 2
    assert passed(gateway, [("10.1.0.1", "another.token.1")]) == 1


def test_made_up_tokens_share_what_their_address_has(gateway: Gateway) -> None:
    calls = [("10.2.0.1", f"made.up{n}.x") for n in range(2 * CALLS)]

    assert ADDRESS <= passed(gateway, calls) < CALLS
    assert passed(gateway, [("10.2.0.2", "made.up.x")]) == 1


def test_what_a_caller_itself_says_of_its_address_is_not_believed(gateway: Gateway) -> None:
    calls = [(f"10.3.1.{n}, 10.3.0.1", f"forwarded.{n}.x") for n in range(2 * CALLS)]

    assert ADDRESS <= passed(gateway, calls) < CALLS


def test_a_network_of_ipv6_is_one_address(gateway: Gateway) -> None:
    calls = [(f"2001:db8:1:1::{n:x}", f"six.{n}.x") for n in range(2 * CALLS)]

    assert ADDRESS <= passed(gateway, calls) < CALLS
    assert passed(gateway, [("2001:db8:1:2::1", "six.x.x")]) == 1


def test_without_a_proxy_the_header_is_not_believed(tmp_path: Path) -> None:
    with running_gateway(
        tmp_path, user_calls_per_second=1, gateway_users_per_address=ADDRESS
    ) as alone:
        calls = [(f"10.4.0.{n}", f"alone.{n}.x") for n in range(2 * CALLS)]

        assert ADDRESS <= passed(alone, calls) < CALLS


def test_a_flood_of_one_caller_ends_at_the_gateway_and_is_told_when_to_come_back(
    slow: Gateway,
) -> None:
    with dialled(slow.public) as channel:
        top = channel.unary_unary(TOP)
        flood = (("authorization", "Bearer flood"),)
        calls = [top.future(b"", timeout=10, metadata=flood) for _ in range(100)]
        errors = [one.exception() for one in calls]
        call(slow.public, TOP, authorization="Bearer other")

    refusals = [error for error in errors if error is not None]
    assert 70 < len(refusals) <= 92
    assert {details(error) for error in refusals} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    }
    retry = error_details_pb2.RetryInfo()
    assert rpc_status.from_call(refusals[0]).details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1
    received = [
        one for one in slow.peer.received if one.metadata["authorization"] != "Bearer other"
    ]
    assert len(received) == 100 - len(refusals)


def test_a_page_can_read_that_it_calls_too_often(slow: Gateway) -> None:
    headers = WEB | PAGE | {"authorization": "Bearer page"}
    answers = [ask(slow.public, TOP, headers=headers) for _ in range(30)]

    refusal = next(answer for answer in answers if answer.grpc_status)
    assert refusal.grpc_status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert refusal.reason == "TOO_MANY_CALLS"
    assert refusal.headers["access-control-allow-origin"] == PAGE["origin"]
    assert preflight(slow.public, TOP, PAGE["origin"]).http_status == 200


def test_calls_without_a_token_are_counted_by_their_address(slow: Gateway) -> None:
    answers = [ask(slow.public, TOP) for _ in range(30)]
    call(slow.public, TOP, authorization="Bearer has-one")

    assert grpc.StatusCode.RESOURCE_EXHAUSTED.value[0] in {one.grpc_status for one in answers}


def test_administrators_are_not_counted(slow: Gateway) -> None:
    for _ in range(30):
        call(slow.admin, TOP, authorization="Bearer admin")
