"""The gateway's configuration: what is rendered, and that Envoy accepts it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.embedded import gateway_config
from shared.embedded.envoy import validate
from shared.embedded.public_methods import path_of, public_methods
from shared.embedded.settings import GatewaySettings
from shared.settings import ServiceSettings

# What apps may call. A method that becomes public is a decision, and stands here too.
PUBLIC = {
    "LeaderboardService": {
        *("GetTop", "GetRank", "GetAround", "BatchGetRanks", "WatchTop", "WatchRank"),
    },
    "ProgressService": {
        *("SubmitProgress", "AwardXp", "GetUserStats", "GetCourseProgress", "ListXpEntries"),
    },
    "CatalogService": {"GetUser", "PutUser", "GetCourse", "ListCourses", "ListMetrics"},
}


def settings(**fields: Any) -> GatewaySettings:
    return GatewaySettings(**fields)


def render(settings: GatewaySettings) -> str:
    return gateway_config.render(settings, Path("/run/laurel"))


def listener(configuration: str, name: str = "public") -> Any:
    listeners = yaml.safe_load(configuration)["static_resources"]["listeners"]
    return next(one for one in listeners if one["name"] == name)


def manager(configuration: str, name: str = "public") -> Any:
    return listener(configuration, name)["filter_chains"][0]["filters"][-1]["typed_config"]


def passing(configuration: str, name: str = "public") -> Any:
    """The routes that lead to a service."""
    routes = virtual_host(configuration, name)["routes"]
    return [one for one in routes if "timeout" in one.get("route", {})]


def virtual_host(configuration: str, name: str = "public") -> Any:
    return manager(configuration, name)["route_config"]["virtual_hosts"][0]


def cors(configuration: str, name: str = "public") -> Any:
    return virtual_host(configuration, name)["typed_per_filter_config"]["envoy.filters.http.cors"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "bind_host": "0.0.0.0",
            "allow_plaintext_on_network": True,
            "progress_address": "progress:50051",
        },
        {"bind_host": "::1", "leaderboard_address": "[::1]:50052"},
        {"cors_origins": "https://app.example.com, https://b.example"},
        {"cors_origins": "*", "gateway_admin_port": 9901},
        {"admin_gateway_port": 0, "user_calls_per_second": 0},
        {"user_calls_per_second": 0.1},
        {"gateway_users_per_address": 0, "gateway_trusted_hops": 2, "gateway_heap_mib": 64},
    ],
    ids=["default", "container", "ipv6", "origins", "any-origin", "less", "slow", "proxies"],
)
def test_envoy_accepts_the_configuration(fields: dict[str, Any], tmp_path: Path) -> None:
    validate(gateway_config.write(settings(**fields), tmp_path))


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


def test_apps_may_call_what_they_need_and_no_more() -> None:
    public: dict[str, set[str]] = {}
    for method in public_methods():
        public.setdefault(method.containing_service.name, set()).add(method.name)

    assert public == PUBLIC


def test_a_path_for_each_public_method_and_a_refusal_of_all_else() -> None:
    configuration = render(settings())

    assert [
        (route["match"]["path"], route["route"]["cluster"]) for route in passing(configuration)
    ] == [
        (path_of(method), method.containing_service.full_name.split(".")[1])
        for method in public_methods()
    ]
    last = virtual_host(configuration)["routes"][-1]
    assert last["match"] == {"prefix": "/"}
    (refusal,) = last["typed_per_filter_config"].values()
    assert refusal["rbac"]["rules"] == {"action": "ALLOW", "policies": {}}


def test_the_admin_listener_routes_by_package_and_nothing_else() -> None:
    routes = passing(render(settings()), "admin")

    assert [(route["match"]["prefix"], route["route"]["cluster"]) for route in routes] == [
        ("/laurel.leaderboard.v1.", "leaderboard"),
        ("/laurel.progress.v1.", "progress"),
    ]


def test_the_admin_listener_stays_on_this_machine_when_the_public_one_does_not() -> None:
    configuration = render(settings(bind_host="0.0.0.0", allow_plaintext_on_network=True))

    address = listener(configuration, "admin")["address"]["socket_address"]
    assert address == {"address": "127.0.0.1", "port_value": 8081}


def test_the_gateway_knows_the_services_own_bound() -> None:
    name = "user_calls_per_second"

    assert GatewaySettings.model_fields[name].default == ServiceSettings.model_fields[name].default
    assert (
        GatewaySettings.model_fields[name].metadata == ServiceSettings.model_fields[name].metadata
    )


def test_streams_are_not_cut_and_the_callers_deadline_is_kept() -> None:
    configuration = render(settings())

    for name in ("public", "admin"):
        assert manager(configuration, name)["stream_idle_timeout"] == "0s"
    for route in passing(configuration) + passing(configuration, "admin"):
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
    configuration = render(settings(cors_origins="https://a.example,https://b.example:8443"))

    for name in ("public", "admin"):
        assert cors(configuration, name)["allow_origin_string_match"] == [
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
