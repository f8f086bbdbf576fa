"""A Python program of this project (`python -m …`) as a child process."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.embedded.logfile import LogFile
from shared.embedded.pidfile import PidFile
from shared.embedded.process import ChildProcess, Command


@dataclass(frozen=True)
class Module:
    """A program: the name that people read, what runs it, and whether it is told the secret that
    tokens are signed with.
    """

    name: str
    module: str
    arguments: Sequence[str] = ()
    knows_secret: bool = False


class ModuleProcess:
    """The program, started with `environment`; it stops on SIGTERM within `drain_s`."""

    def __init__(
        self, module: Module, home: Path, environment: Mapping[str, str], *, drain_s: float
    ) -> None:
        self.name = module.name
        self._drain_s = drain_s
        file = module.module.rpartition(".")[2]
        self.log = LogFile(home / "logs" / f"{file}.log")
        self._child = ChildProcess(
            Command(
                name=module.name,
                argv=[sys.executable, "-m", module.module, *module.arguments],
                log=self.log,
                environment=environment,
            ),
            PidFile(home / "run" / f"{file}.pid"),
        )

    @property
    def pid(self) -> int:
        """The process id; raises EmbeddedError before the first start."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._child.running

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs or before the first start."""
        return self._child.exit_code

    def start(self) -> None:
        """Starts the program and returns at once."""
        self._child.start()

    def stop(self) -> None:
        """Asks the program to stop, and kills it when it has not a while after its drain."""
        self._child.stop(self._drain_s + 5.0)

    def kill(self) -> None:
        """Kills the program with SIGKILL."""
        self._child.kill()
