"""The command in a process of its own, so that it can be interrupted as by Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

TIMEOUT_S = 20
# What a shell starts in the background ignores SIGINT, and so would its children.
_MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from shared.cli.main import app; app()"
)


@contextmanager
def command(
    *args: str, environment: Mapping[str, str], stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """`laurel` with these arguments, and these variables beside the present ones; it is killed at
    the end if it still runs.
    """
    # With it, what is printed would be seen at once though the command does not see to that.
    inherited = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, *args],
        env={**inherited, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Send what Ctrl-C sends, and wait for the end; what was printed to stdout and stderr."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=TIMEOUT_S)
