"""Checks the files that a deployment is made of, as far as that goes without running it.

- docker-compose.yml is YAML, publishes the gateway alone, requires what .env.example asks for, and
  passes `docker compose config` where Docker has it.
- Envoy accepts the gateway's configuration.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from shared.embedded import envoy
from shared.embedded.settings import GatewaySettings

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
# Values for the variables that .env.example asks for; nothing is started with them.
REQUIRED = {"POSTGRES_PASSWORD": "x", "REDIS_PASSWORD": "x", "LAUREL_TOKEN_SECRET": "x"}


def check_compose() -> None:
    """Raises yaml.YAMLError, or ValueError when something besides the gateway is published, or
    .env.example and the variables that are required differ.
    """
    text = COMPOSE.read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    published = sorted(name for name, service in services.items() if "ports" in service)
    if published != ["gateway"]:
        raise ValueError(f"{COMPOSE.name} publishes {published}, not the gateway alone")
    required = set(re.findall(r"\$\{(\w+):\?", text))
    empty = set(re.findall(r"^(\w+)=$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    if required != set(REQUIRED) or not required <= empty:
        raise ValueError(f"{COMPOSE.name} requires {required}, {EXAMPLE.name} asks for {empty}")


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
        path = Path(folder) / "envoy.yaml"
        path.write_text(envoy.render(GatewaySettings()), encoding="utf-8")
        envoy.validate(path)


def main() -> None:
    """Exit status 0, or the first failure as a traceback or in its checker's own words."""
    check_compose()
    check_compose_with_docker()
    check_gateway()


if __name__ == "__main__":
    main()
