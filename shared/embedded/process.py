"""Child processes that end with their parent."""

import json
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


@dataclass(frozen=True)
class Command:
    """What to run, and how it is asked to stop."""

    name: str
    argv: Sequence[str]
    log: LogFile
    environment: Mapping[str, str] | None = None  # None: ours, without our settings
    working_directory: Path | None = None
    account: Account | None = None  # None: ourselves
    stop_signal: signal.Signals = signal.SIGTERM


def _foreign_environment() -> dict[str, str]:
    """For programs that are not ours: our settings have secrets in them."""
    return {name: text for name, text in os.environ.items() if not name.startswith("LAUREL_")}


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
        try:
            return subprocess.Popen(
                launched(command.argv, command.account, command.stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_foreign_environment() if command.environment is None else command.environment,
                cwd=command.working_directory,
                start_new_session=True,
                umask=0o077,
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


def launched(
    argv: Sequence[str], account: Account | None, stop_signal: signal.Signals
) -> list[str]:
    """The command line that runs `argv` as the account and binds it to this thread's life.

    The signal comes when the parent's *thread* ends, so only children of the main thread get it,
    and only on Linux.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    bound = sys.platform == "linux" and main_thread
    options = {
        "uid": None if account is None else account.uid,
        "gid": None if account is None else account.gid,
        "signal": int(stop_signal) if bound else None,
        "parent": os.getpid(),
    }
    launcher = str(Path(__file__).with_name("launch.py"))
    return [sys.executable, "-I", "-S", launcher, json.dumps(options), *argv]


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
