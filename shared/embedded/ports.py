"""Are the ports free that the stack is about to listen on?"""

import errno
import socket
from collections.abc import Mapping

from shared.embedded.errors import RefusedError
from shared.embedded.settings import EmbeddedSettings


def required_ports(settings: EmbeddedSettings) -> Mapping[str, int]:
    """The ports that the stack listens on, by the setting that names them."""
    ports = {
        "LAUREL_PROGRESS_PORT": settings.progress_port,
        "LAUREL_LEADERBOARD_PORT": settings.leaderboard_port,
        "LAUREL_GATEWAY_PORT": settings.gateway_port,
    }
    if settings.admin_gateway_port:
        ports["LAUREL_ADMIN_GATEWAY_PORT"] = settings.admin_gateway_port
    if settings.metrics_port:
        ports["LAUREL_METRICS_PORT"] = settings.metrics_port
        ports["LAUREL_METRICS_PORT + 1"] = settings.metrics_port + 1
    if settings.gateway_admin_port:
        ports["LAUREL_GATEWAY_ADMIN_PORT"] = settings.gateway_admin_port
    return ports


def check_ports(settings: EmbeddedSettings) -> None:
    """Raises RefusedError, which names the setting, when a port cannot be listened on."""
    owners: dict[int, str] = {}
    for setting, port in required_ports(settings).items():
        if port in owners:
            raise RefusedError(f"{setting} and {owners[port]} are both {port}")
        owners[port] = setting
    for port, setting in owners.items():
        if setting == "LAUREL_ADMIN_GATEWAY_PORT":
            _check_port(settings.admin_gateway_host, "LAUREL_ADMIN_GATEWAY_HOST", port, setting)
        elif setting.startswith("LAUREL_METRICS_PORT"):
            _check_port(settings.metrics_bind_host, "LAUREL_METRICS_HOST", port, setting)
        else:
            _check_port(settings.bind_host, "LAUREL_BIND_HOST", port, setting)


def _check_port(host: str, host_setting: str, port: int, setting: str) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # Connections that ended a moment ago do not count; a listener does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise RefusedError(f"{host_setting}: {host} is no address of this machine") from error
        if error.errno == errno.EADDRINUSE:
            raise RefusedError(f"{setting}: port {port} is in use") from error
        raise RefusedError(f"{setting}: cannot use port {port}: {error.strerror}") from error
