"""TLS of the gateway: towards callers, towards the services, and while certificates change."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from tests.certificates import CertificateFiles, shown_by
from tests.e2e.gateway_peer import Gateway, running_gateway
from tests.e2e.grpc_web import ask
from tests.e2e.running_stack import until

TOP = "/laurel.leaderboard.v1.LeaderboardService/GetTop"
WATCH_TOP = "/laurel.leaderboard.v1.LeaderboardService/WatchTop"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> CertificateFiles:
    """The gateway's own."""
    return CertificateFiles(tmp_path / "certificates", authority)


def service_credentials(authority: trustme.CA, *names: str) -> grpc.ServerCredentials:
    """Of a service that asks for its callers' certificates."""
    issued = authority.issue_cert(*(names or ("127.0.0.1",)))
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    return grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), chain)],
        root_certificates=authority.cert_pem.bytes(),
        require_client_auth=True,
    )


@contextmanager
def dialled(target: str, authority: trustme.CA) -> Iterator[Any]:
    """A channel that trusts the authority, and takes and gives bytes."""
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with grpc.secure_channel(target, credentials) as channel:
        yield channel


def code_of_call(gateway: Gateway, authority: trustme.CA) -> grpc.StatusCode:
    with dialled(gateway.public, authority) as channel:
        try:
            channel.unary_unary(TOP)(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def test_both_listeners_speak_tls_and_the_services_see_the_gateways_certificate(
    tmp_path: Path, authority: trustme.CA, files: CertificateFiles
) -> None:
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    credentials = service_credentials(authority)
    with running_gateway(tmp_path, credentials, **files.settings()) as gateway:
        for target in (gateway.public, gateway.admin):
            assert shown_by(target) == files.serial
            with dialled(target, authority) as channel:
                assert channel.unary_unary(TOP)(b"", timeout=10) == b""
            assert ask(target, TOP, tls=trusting).grpc_status == 0
            with pytest.raises(ConnectionError):
                ask(target, TOP)


@pytest.mark.parametrize("names", [("localhost",), ("127.0.0.2",)])
def test_a_service_with_another_ones_certificate_is_not_called(
    tmp_path: Path, authority: trustme.CA, files: CertificateFiles, names: tuple[str, ...]
) -> None:
    credentials = service_credentials(authority, *names)
    with running_gateway(tmp_path, credentials, **files.settings()) as gateway:
        assert code_of_call(gateway, authority) is grpc.StatusCode.UNAVAILABLE
        assert not gateway.peer.received


def test_a_service_of_an_unknown_authority_is_not_called(
    tmp_path: Path, authority: trustme.CA, files: CertificateFiles
) -> None:
    credentials = service_credentials(trustme.CA())
    with running_gateway(tmp_path, credentials, **files.settings()) as gateway:
        assert code_of_call(gateway, authority) is grpc.StatusCode.UNAVAILABLE


def test_services_without_tls_stand_behind_a_gateway_with_it(
    tmp_path: Path, authority: trustme.CA, files: CertificateFiles
) -> None:
    settings = files.settings(tls_ca_file=None)
    with running_gateway(tmp_path, **settings) as gateway:
        assert code_of_call(gateway, authority) is grpc.StatusCode.OK


def test_a_gateway_without_tls_stands_before_services_with_it(
    tmp_path: Path, authority: trustme.CA, files: CertificateFiles
) -> None:
    issued = authority.issue_cert("127.0.0.1")
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials([pair])
    with running_gateway(tmp_path, credentials, tls_ca_file=files.ca) as gateway:
        assert ask(gateway.public, TOP).grpc_status == 0


def test_a_certificate_is_replaced_without_a_failed_call_or_a_lost_stream(
    tmp_path: Path, authority: trustme.CA, files: CertificateFiles
) -> None:
    failures: list[grpc.RpcError] = []
    done = threading.Event()

    def call_again_and_again(gateway: Gateway) -> None:
        while not done.is_set():
            try:
                with dialled(gateway.public, authority) as channel:
                    for _ in range(5):
                        channel.unary_unary(TOP)(b"", timeout=10)
            except grpc.RpcError as error:
                failures.append(error)

    credentials = service_credentials(authority)
    with running_gateway(tmp_path, credentials, **files.settings()) as gateway:
        calls = threading.Thread(target=call_again_and_again, args=(gateway,))
        calls.start()
        try:
            with dialled(gateway.public, authority) as channel:
                watch = channel.unary_stream(WATCH_TOP)(b"", timeout=60)
                assert next(watch) == b""
                for _ in range(3):
                    files.issue(authority)
                    until(lambda: shown_by(gateway.public) == files.serial, 10, "the new one")
                gateway.peer.ended.set()
                assert list(watch) == []
        finally:
            done.set()
            calls.join()

    assert failures == []
