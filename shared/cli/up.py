"""`laurel up`: both services and their stores in the foreground, until Ctrl-C."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Annotated, NoReturn

import typer

from shared.cli.demo import STAYS_OUT
from shared.cli.examples import endpoints, example_calls
from shared.embedded.errors import EmbeddedError, RefusedError
from shared.embedded.service import Module
from shared.embedded.settings import EmbeddedSettings
from shared.embedded.stack import Stack
from shared.logging import configure

SEED_TIMEOUT_S = 30.0
BOUNCE_S = 0.5  # signals this close are one: make and the shell both pass a Ctrl-C on
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Someone wants the stack to stop; raised by the signal handler, wherever we are."""


class Stopper:
    """Turns the first signal into StopRequested, and the next one as well; then no more."""

    def __init__(self) -> None:
        self._last = 0.0
        self._left = 2

    def listen(self) -> None:
        """Takes the signals that ask a program to end."""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def deaf(self) -> None:
        """Ignores the signals from now on: the end has come."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        bounced = now - self._last < BOUNCE_S
        self._last = now
        if self._left and not bounced:
            self._left -= 1
            raise StopRequested


def up(
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Let simulated learners take a demo course, in an empty home."),
    ] = False,
) -> None:
    """Start both services and their stores in the foreground; Ctrl-C stops everything.

    Prints `ready` on a line of its own once both services are SERVING. Exit status: 0 stopped on
    request, 1 something did not start, 2 a bad setting (of a service too), a port or the home in
    use.
    """
    settings = EmbeddedSettings.load()
    # This process's own log lines are few and for people; the services' go to files, as set.
    configure(settings.model_copy(update={"log_format": "text"}), "laurel up")
    raise typer.Exit(_run(Stack(settings, _say), demo=demo))


def _run(stack: Stack, *, demo: bool) -> int:
    """Runs the stack until it is asked to stop, or fails; the exit status."""
    stopper = Stopper()
    stopper.listen()
    status = 0
    try:
        try:
            _serve(stack, demo=demo)
        except StopRequested:
            _say("stopping (Ctrl-C again: at once)")
        except EmbeddedError as error:
            _say(str(error))
            status = 2 if isinstance(error, RefusedError) else 1
        except OSError as error:
            _say(f"{error.strerror}: {error.filename}")
            status = 1
        stack.stop()
    except StopRequested:
        stack.kill()
    stopper.deaf()
    return status


def _serve(stack: Stack, *, demo: bool) -> NoReturn:
    stack.start()
    _print(endpoints(stack.settings))
    if demo:
        _begin_demo(stack)
    _print("ready")
    stack.supervise()
    raise AssertionError("supervise returns by an exception alone")


def _begin_demo(stack: Stack) -> None:
    seed = Module("the demo's preparation", "shared.cli.demo", ("seed",), knows_secret=True)
    status = stack.run_module(seed, SEED_TIMEOUT_S, accepted=(0, STAYS_OUT))
    if status == STAYS_OUT:
        _say("the demo stays out: there are users that are not the demo's")
        return
    play = Module("the demo", "shared.cli.demo", ("play",), knows_secret=True)
    stack.add(stack.module_process(play), finishes=True)
    _print("\n" + example_calls(stack.settings) + "\n")


def _print(text: str) -> None:
    """Writes to stdout, at once; that no one reads it any more is no reason to stop."""
    _write(lambda: print(text, flush=True))


def _say(text: str) -> None:
    """Writes a line to stderr."""
    _write(lambda: print(f"laurel: {text}", file=sys.stderr, flush=True))


def _write(write: Callable[[], None]) -> None:
    with contextlib.suppress(BrokenPipeError):
        write()
