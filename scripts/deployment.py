"""Checks the files that a deployment is made of, as far as that goes without running it.

- docker-compose.yml is YAML, publishes the gateway alone and administration on this machine alone,
  keeps secrets from the gateway, requires what .env.example asks for, and passes `docker compose
  config` where Docker has it.
- It passes on every setting to who reads it.
- Envoy accepts the gateway's configuration.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from leaderboard_service.settings import LeaderboardSettings
from progress_service.settings import ProgressSettings
from shared.embedded import envoy, gateway_config
from shared.embedded.settings import GatewaySettings
from shared.settings import CommonSettings

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
# Values for the variables that .env.example asks for; nothing is started with them.
REQUIRED = {
    "POSTGRES_PASSWORD": "x",
    "REDIS_PASSWORD": "x",
    "LAUREL_TOKEN_SECRET": "x",
    "LAUREL_AUTH_SECRET": "x",
}
READERS: dict[str, type[CommonSettings]] = {
    "progress": ProgressSettings,
    "leaderboard": LeaderboardSettings,
    "gateway": GatewaySettings,
}
_INSIDE = "within the containers' networks nothing else makes sense"
_FILE = "a file must be mounted first: whoever does that names it in the same override"
_UNREAD = "the gateway reads no token, and has no log lines, metrics or calls of Laurel's own"
# What compose says itself, or to nobody, and why.
FIXED = {
    **dict.fromkeys(("bind_host", "allow_plaintext_on_network", "admin_gateway_host"), _INSIDE),
    **dict.fromkeys(("progress_address", "leaderboard_address"), _INSIDE),
    **dict.fromkeys(("progress_port", "leaderboard_port", "metrics_port"), _INSIDE),
    **dict.fromkeys(("gateway_port", "admin_gateway_port"), "said by what is published"),
    **dict.fromkeys(("postgres_url", "redis_url"), "those of the stores beside it"),
    **dict.fromkeys(("tls_cert_file", "tls_key_file", "tls_ca_file", "call_token_file"), _FILE),
    "tls_client_auth": _FILE,
    "home": "of the embedded stack",
    "gateway_admin_port": "on the container's loopback nobody reaches it",
}
NOT_FOR_THE_GATEWAY = {
    **dict.fromkeys(("auth_secret", "auth_audience", "auth_issuer", "auth_roles_claim"), _UNREAD),
    **dict.fromkeys(("log_level", "log_format", "metrics_host", "timezone"), _UNREAD),
    "drain_seconds": "Envoy ends at once",
}


def check_compose() -> None:
    """Raises yaml.YAMLError, or ValueError when something besides the gateway is published, others
    than this machine reach administration, the gateway gets a secret, or .env.example and the
    variables that are required differ.
    """
    text = COMPOSE.read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    published = sorted(name for name, service in services.items() if "ports" in service)
    if published != ["gateway"]:
        raise ValueError(f"{COMPOSE.name} publishes {published}, not the gateway alone")
    gateway = services["gateway"]
    if not gateway["ports"][-1].startswith("127.0.0.1:${LAUREL_ADMIN_GATEWAY_PORT:"):
        raise ValueError(f"{COMPOSE.name} publishes administration: {gateway['ports'][-1]}")
    if secrets := [name for name in gateway["environment"] if "SECRET" in name]:
        raise ValueError(f"{COMPOSE.name} gives the gateway {secrets}")
    required = set(re.findall(r"\$\{(\w+):\?", text))
    empty = set(re.findall(r"^(\w+)=$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    if required != set(REQUIRED) or not required <= empty:
        raise ValueError(f"{COMPOSE.name} requires {required}, {EXAMPLE.name} asks for {empty}")


def check_settings() -> None:
    """Raises ValueError when a setting in .env would not reach who reads it, or when compose names
    one that there is not.
    """
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    for name, settings in READERS.items():
        fixed = FIXED | NOT_FOR_THE_GATEWAY if name == "gateway" else FIXED
        told = services[name]["environment"]
        variables = {field: f"LAUREL_{field.upper()}" for field in settings.model_fields}
        missing = [
            variable
            for field, variable in variables.items()
            if field not in fixed and not str(told.get(variable)).startswith(f"${{{variable}:")
        ]
        unknown = {one for one in told if one.startswith("LAUREL_")} - {*variables.values()}
        if missing or unknown:
            raise ValueError(
                f"{COMPOSE.name} does not pass {missing} to {name}, and names {sorted(unknown)}"
            )


def check_compose_with_docker() -> None:
    """Has Docker read the file; raises CalledProcessError. Does nothing without the plugin."""
    docker = shutil.which("docker")
    if docker is None or not has_compose(docker):
        print("docker compose is not installed: docker-compose.yml was checked as YAML only")
        return
    command = [docker, "compose", "-f", str(COMPOSE), "config", "--quiet"]
    subprocess.run(command, check=True, env={**os.environ, **REQUIRED})


def has_compose(docker: str) -> bool:
    """Whether this docker has the compose plugin."""
    command = [docker, "compose", "version"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def check_gateway() -> None:
    """Has Envoy read its configuration; raises EmbeddedError."""
    with tempfile.TemporaryDirectory() as folder:
        envoy.validate(gateway_config.write(GatewaySettings(), Path(folder)))


def main() -> None:
    """Exit status 0, or the first failure as a traceback or in its checker's own words."""
    check_compose()
    check_settings()
    check_compose_with_docker()
    check_gateway()


if __name__ == "__main__":
    main()
