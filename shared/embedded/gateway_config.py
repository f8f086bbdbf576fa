"""The gateway's configuration: gateway/envoy.yaml, filled in from the contract and the settings."""

import json
import socket
from importlib import resources
from pathlib import Path
from string import Template

from shared.embedded.gateway_replies import (
    FRAME_BYTES,
    MAX_REQUEST_BYTES,
    address_calls_per_second,
    calls_per_second,
    replies,
)
from shared.embedded.gateway_routes import admin_routes, public_routes
from shared.embedded.gateway_tls import downstream_tls, secret_files, upstream_tls
from shared.embedded.settings import GatewaySettings, split_origins

LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"


def write(settings: GatewaySettings, folder: Path) -> Path:
    """Writes the configuration into the folder, which must exist; its path. OSError as `render`."""
    path = folder / "envoy.yaml"
    path.write_text(render(settings, folder), encoding="utf-8")
    for name, text in secret_files(settings).items():
        (folder / name).write_text(text, encoding="utf-8")
    return path


def render(settings: GatewaySettings, folder: Path) -> str:
    """The configuration for these settings, as YAML; with TLS it names files in the folder.

    OSError when a host to listen on is no address of this machine.
    """
    template = resources.files("gateway").joinpath("envoy.yaml").read_text(encoding="utf-8")
    admin: object = {}
    if settings.gateway_admin_port:
        admin = {"address": _address("127.0.0.1", settings.gateway_admin_port)}
    rate, address_rate = calls_per_second(settings), address_calls_per_second(settings)
    values: dict[str, object] = {
        "admin": admin,
        "public_address": _listen_address(settings.bind_host, settings.gateway_port),
        "admin_address": _listen_address(settings.admin_gateway_host, settings.admin_gateway_port),
        "admin_listens": settings.admin_gateway_port != 0,
        "cors_origins": _origin_matchers(settings.cors_origins),
        "public_routes": public_routes(),
        "admin_routes": admin_routes(),
        "trusted_hops": settings.gateway_trusted_hops,
        "max_heap_bytes": settings.gateway_heap_mib * 2**20,
        "max_request_bytes": MAX_REQUEST_BYTES + FRAME_BYTES,
        "downstream_tls": downstream_tls(settings, folder),
        "rate_unbounded": rate == 0,
        "rate": _bucket(rate, 2 * rate),
        "address_unbounded": address_rate == 0,
        "address_rate": _bucket(address_rate, address_rate),
        "replies": replies(settings),
    }
    targets = {"progress": settings.progress_target, "leaderboard": settings.leaderboard_target}
    for name, target in targets.items():
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        values[f"{name}_address"] = _address(host, int(port))
        values[f"{name}_tls"] = upstream_tls(settings, folder, host)
    return _header_removed(template).substitute(
        {name: json.dumps(value) for name, value in values.items()}
    )


def _header_removed(template: str) -> Template:
    """The template without its opening comment, which speaks of placeholders."""
    return Template(template[template.index("\n\n") :].lstrip())


def _address(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}


def _listen_address(host: str, port: int) -> dict[str, object]:
    """For a host's name the address that it stands for: Envoy listens on numbers alone."""
    address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
    return _address(str(address), port)


def _origin_matchers(origins: str) -> list[dict[str, object]]:
    listed = split_origins(origins)
    if not listed:
        return [{"safe_regex": {"regex": LOCAL_ORIGINS}}]
    if "*" in listed:
        return [{"safe_regex": {"regex": ".*"}}]
    return [{"exact": origin} for origin in listed]


def _bucket(calls_per_second: int, at_once: int) -> dict[str, object]:
    # What is not in use must be valid too.
    return {
        "max_tokens": max(1, at_once),
        "tokens_per_fill": max(1, calls_per_second),
        "fill_interval": "1s",
    }
