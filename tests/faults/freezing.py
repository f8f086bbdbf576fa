"""SIGSTOP and SIGCONT for a process and all that it has started."""

import contextlib
import signal

import psutil


def freeze(pid: int) -> None:
    """Stops the process and then its descendants, so that it starts no more of them."""
    _signal(pid, signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Lets them go on; does nothing to those that were not stopped."""
    _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        first.send_signal(number)
        for process in first.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
