"""A server that stops, again and again: in a process of its own, for what may go wrong ends it."""

import subprocess
import sys

from shared import runtime
from shared.server import RpcServer
from shared.settings import ServiceSettings

DRAINS = 300


async def _drain_many() -> None:
    settings = ServiceSettings(log_level="error")
    for number in range(DRAINS):
        server = RpcServer(settings, 0)
        await server.start()
        await server.drain(0.0 if number % 2 else 5.0)
        await server.drain(0)


def test_no_drain_of_many_ends_the_process() -> None:
    code = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr[-1000:]


if __name__ == "__main__":
    runtime.run(_drain_many())
