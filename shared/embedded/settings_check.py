"""Are the settings of our programs good? Asked before anything is started."""

import subprocess
import sys
from collections.abc import Mapping

from shared.embedded.errors import EmbeddedError, RefusedError
from shared.embedded.logfile import OWN_LINE
from shared.embedded.service import Module

TIMEOUT_S = 30.0
BAD_SETTING = 2  # the exit status of all our programs


def check_settings(programs: Mapping[Module, Mapping[str, str]]) -> None:
    """Has each program (a package) read its settings from the environment that it will get.

    Raises RefusedError with the line of the first that finds a bad one. Only `<package>.settings`
    is run, which reads them and does nothing else.
    """
    checks = {
        program: subprocess.Popen(
            [sys.executable, "-m", f"{program.module}.settings"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for program, environment in programs.items()
    }
    try:
        for program, check in checks.items():
            _judge(program, check)
    finally:
        for check in checks.values():
            check.kill()
            check.communicate()


def _judge(program: Module, check: subprocess.Popen[str]) -> None:
    try:
        _, said = check.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise EmbeddedError(f"{program.name} did not read its settings in time") from None
    if check.returncode == 0:
        return
    line = (said.splitlines() or ["it said nothing"])[-1].removeprefix(OWN_LINE)
    if check.returncode == BAD_SETTING:
        raise RefusedError(line)
    raise EmbeddedError(f"{program.name} cannot read its settings: {line}")
