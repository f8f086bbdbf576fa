"""Child processes that end with their parent."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from shared.embedded.account import Account
from shared.embedded.errors import EmbeddedError
from shared.embedded.leftover import POLL_S, kill_all
from shared.embedded.logfile import LogFile
from shared.embedded.pidfile import PidFile

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Command:
    """What to run, and how it is asked to stop."""

    name: str
    argv: Sequence[str]
    log: LogFile
    environment: Mapping[str, str] | None = None  # None: ours
    working_directory: Path | None = None
    account: Account | None = None  # None: ourselves
    stop_signal: signal.Signals = signal.SIGTERM


class ChildProcess:
    """One child in a session of its own, so that a Ctrl-C at the terminal is ours to handle.

    Where the system can (Linux), the child gets its stop signal when the thread that started it
    ends, if that is the main thread: a supervisor that is killed leaves no one behind.
    """

    def __init__(self, command: Command, pid_file: PidFile | None = None) -> None:
        self.command = command
        self._pid_file = pid_file
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; raises EmbeddedError before the first start."""
        if self._popen is None:
            raise EmbeddedError(f"{self.command.name} has not been started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: a signal), None while it runs or before the first start."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Starts the process; it must not be running.

        With a pid file, first ends the process that a killed supervisor has left running.
        """
        if self.running:
            raise EmbeddedError(f"{self.command.name} is running already")
        if self._pid_file is not None:
            self._pid_file.end_left_over()
        self._popen = self._spawn()
        if self._pid_file is not None:
            self._pid_file.write(self._popen.pid)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = self.command
        output = command.log.open()
        account = command.account
        try:
            return subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=command.environment,
                cwd=command.working_directory,
                start_new_session=True,
                umask=0o077,
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
                # The child calls prctl and getppid there, nothing that takes a lock.
                preexec_fn=_bound_to_parent(command.stop_signal),  # noqa: PLW1509
            )
        except OSError as error:
            raise EmbeddedError(f"cannot start {command.name}: {error}") from error
        finally:
            os.close(output)

    def ask_to_stop(self) -> None:
        """Sends the stop signal, if the process runs."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(self.command.stop_signal)

    def stop(self, timeout_s: float = 20.0) -> bool:
        """Asks the process to stop, kills it after the timeout; whether it stopped by itself."""
        if self._popen is None:
            return True
        self.ask_to_stop()
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._forget()
        return True

    def kill(self) -> None:
        """Kills the process and its descendants (SIGKILL) and waits until they are gone."""
        if self._popen is None:
            return
        try:
            family = psutil.Process(self._popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self._popen.kill()
        self._popen.wait()
        kill_all(family)
        self._forget()

    def _forget(self) -> None:
        if self._pid_file is not None:
            self._pid_file.clear()


def _bound_to_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child runs between fork and exec; None where it cannot be bound.

    The signal comes when the parent's *thread* ends, so only children of the main thread get it.
    subprocess changes the user before this runs; the other way round the kernel would forget it.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:  # it ended between fork and prctl
            os._exit(1)

    return bind


def wait_until(condition: Callable[[], bool], child: ChildProcess, timeout_s: float) -> None:
    """Waits for the condition while the child runs; EmbeddedError when it ends or takes longer."""
    deadline = time.monotonic() + timeout_s
    name, log = child.command.name, child.command.log
    while not condition():
        if not child.running:
            raise EmbeddedError(
                f"{name} ended with exit code {child.exit_code} while it started; "
                f"{log.path} ends: {log.tail()}",
            )
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} was not ready within {timeout_s:g} s; see {log.path}")
        time.sleep(POLL_S)
