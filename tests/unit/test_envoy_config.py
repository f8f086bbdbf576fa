"""The gateway's configuration: what is rendered, and that Envoy accepts it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.embedded.envoy import render, validate
from shared.embedded.settings import GatewaySettings


def settings(**fields: Any) -> GatewaySettings:
    return GatewaySettings(**fields)


def listener(configuration: str) -> Any:
    return yaml.safe_load(configuration)["static_resources"]["listeners"][0]


def manager(configuration: str) -> Any:
    return listener(configuration)["filter_chains"][0]["filters"][0]["typed_config"]


def virtual_host(configuration: str) -> Any:
    return manager(configuration)["route_config"]["virtual_hosts"][0]


def cors(configuration: str) -> Any:
    return virtual_host(configuration)["typed_per_filter_config"]["envoy.filters.http.cors"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"bind_host": "0.0.0.0", "progress_address": "progress:50051"},
        {"bind_host": "::1", "leaderboard_address": "[::1]:50052"},
        {"cors_origins": "https://app.example.com, https://b.example"},
        {"cors_origins": "*", "gateway_admin_port": 9901},
    ],
    ids=["default", "container", "ipv6", "origins", "any-origin-and-admin"],
)
def test_envoy_accepts_the_configuration(fields: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text(render(settings(**fields)))

    validate(file)


def test_it_listens_on_the_loopback_address_without_an_admin_interface() -> None:
    configuration = render(settings(gateway_port=18080))

    assert listener(configuration)["address"]["socket_address"] == {
        "address": "127.0.0.1",
        "port_value": 18080,
    }
    assert yaml.safe_load(configuration)["admin"] == {}


def test_a_name_to_listen_on_becomes_an_address() -> None:
    configuration = render(settings(bind_host="localhost"))

    assert listener(configuration)["address"]["socket_address"]["address"] in {"127.0.0.1", "::1"}


def test_a_second_gateway_cannot_share_the_port() -> None:
    assert listener(render(settings()))["enable_reuse_port"] is False


def test_calls_are_routed_by_package_and_nothing_else_is() -> None:
    routes = virtual_host(render(settings()))["routes"]

    assert [(route["match"]["prefix"], route["route"]["cluster"]) for route in routes] == [
        ("/laurel.leaderboard.v1.", "leaderboard"),
        ("/laurel.progress.v1.", "progress"),
    ]


def test_streams_are_not_cut_and_the_callers_deadline_is_kept() -> None:
    configuration = render(settings())

    assert manager(configuration)["stream_idle_timeout"] == "0s"
    for route in virtual_host(configuration)["routes"]:
        assert route["route"]["timeout"] == "0s"
        assert route["route"]["idle_timeout"] == "0s"
        assert route["route"]["max_stream_duration"] == {"grpc_timeout_header_max": "0s"}


def test_each_service_is_asked_for_its_own_health() -> None:
    clusters = yaml.safe_load(render(settings()))["static_resources"]["clusters"]

    assert {
        cluster["name"]: cluster["health_checks"][0]["grpc_health_check"]["service_name"]
        for cluster in clusters
    } == {
        "leaderboard": "laurel.leaderboard.v1.LeaderboardService",
        "progress": "laurel.progress.v1.ProgressService",
    }


def test_the_services_addresses_come_from_the_settings() -> None:
    fields = {"progress_address": "progress:1", "leaderboard_address": "[::1]:2"}
    clusters = yaml.safe_load(render(settings(**fields)))["static_resources"]["clusters"]

    assert {
        cluster["name"]: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"][
            "address"
        ]["socket_address"]
        for cluster in clusters
    } == {
        "leaderboard": {"address": "::1", "port_value": 2},
        "progress": {"address": "progress", "port_value": 1},
    }


def test_listed_origins_are_matched_exactly() -> None:
    policy = cors(render(settings(cors_origins="https://a.example,https://b.example:8443")))

    assert policy["allow_origin_string_match"] == [
        {"exact": "https://a.example"},
        {"exact": "https://b.example:8443"},
    ]


def test_a_page_may_read_the_status_and_the_error_details() -> None:
    exposed = cors(render(settings()))["expose_headers"]

    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(exposed.split(", "))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cors_origins", "app.example.com"),
        ("cors_origins", "https://app.example.com/path"),
        ("progress_address", "progress"),
        ("leaderboard_address", "host:99999"),
        ("gateway_admin_port", "-1"),
    ],
)
def test_a_bad_setting_is_one_line_and_exit_status_2(
    field: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"LAUREL_{field.upper()}", value)

    with pytest.raises(SystemExit) as ended:
        GatewaySettings.load()

    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"LAUREL_{field.upper()}" in lines[0]
