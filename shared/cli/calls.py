"""How a command calls a service: a connection, a deadline, and failures told in one line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import grpc
import typer
from grpc import aio

from shared.bad_setting import BadSetting
from shared.channels import open_channel
from shared.cli.credentials import LIFE_S, advice, call_token
from shared.identity import Role
from shared.settings import CommonSettings
from shared.status import error_from_rpc
from shared.tls import channel_credentials

CALL_TIMEOUT_S = 10.0

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

T = TypeVar("T")


@dataclass(frozen=True)
class Peer:
    """One of the two services: its name and the address it is called at."""

    name: str
    target: str


def progress_peer() -> Peer:
    """ProgressService, where the settings say that it is."""
    settings = CommonSettings.load()
    return _peer("ProgressService", settings, "progress_address", settings.progress_target)


def leaderboard_peer() -> Peer:
    """LeaderboardService, where the settings say that it is."""
    settings = CommonSettings.load()
    return _peer("LeaderboardService", settings, "leaderboard_address", settings.leaderboard_target)


def _peer(name: str, settings: CommonSettings, setting: str, target: str) -> Peer:
    """Ends the process as a bad setting does when its token would go there in the open."""
    try:
        settings.check_call(setting if getattr(settings, setting) else "bind_host", target)
    except BadSetting as error:
        error.exit()
    return Peer(name, target)


class CommandError(Exception):
    """Why a command failed: one line for people, and its parts for programs.

    `status` is the gRPC status ("" when no call failed), `reason` the stable reason of a typed
    error ("" when the answer had none).
    """

    exit_status = EXIT_FAILED

    def __init__(self, message: str, *, status: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.status = status
        self.reason = reason

    def line(self) -> str:
        """`STATUS (REASON): message`, as far as there is a status and a reason."""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.status}{reason}: {self.message}" if self.status else self.message

    def and_also(self, sentence: str) -> CommandError:
        """The same failure, with one more sentence about it."""
        message = f"{self.message.rstrip('.')}. {sentence}"
        return CommandError(message, status=self.status, reason=self.reason)


def one_line(text: str) -> str:
    """The text on one line, without anything that a terminal would act on."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@asynccontextmanager
async def connected(
    peer: Peer, role: Role = Role.ADMIN, *, life_s: float = LIFE_S
) -> AsyncIterator[aio.Channel]:
    """A channel to the service, which is called with a token of the role for `life_s`: at least as
    long as a stream may take. A call that fails inside the block becomes a CommandError.
    """
    settings = CommonSettings.load()
    try:
        token = call_token(settings, role=role, life_s=life_s)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"LAUREL_CALL_TOKEN_FILE: {why}") from None
    credentials = channel_credentials(settings)
    async with open_channel(peer.target, token=token, credentials=credentials) as channel:
        try:
            yield channel
        except aio.AioRpcError as error:
            raise failure(error, peer) from error


@asynccontextmanager
async def safe_again(again: str, *, dry_run: bool) -> AsyncIterator[None]:
    """A CommandError in the block also says what happens when the command is run again; a dry run
    has nothing to say about that.
    """
    try:
        yield
    except CommandError as error:
        if dry_run:
            raise
        raise error.and_also(again) from error


def failure(error: aio.AioRpcError, peer: Peer) -> CommandError:
    """What a failed call means to whoever typed the command."""
    status = error.code()
    typed = error_from_rpc(error)
    # Without ErrorInfo the answer is not from the service, but from what lies between.
    reason = typed.reason if typed.reason != status.name else ""
    message = typed.message
    if not reason and status is grpc.StatusCode.UNAVAILABLE:
        message = f"no answer from {peer.name} at {peer.target}: {message}"
    if not reason and status is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{peer.name} at {peer.target} did not answer in time"
    failed = CommandError(message, status=status.name, reason=reason)
    if status is grpc.StatusCode.UNAUTHENTICATED:
        return failed.and_also(advice(CommonSettings.load()))
    return failed


def run_command(work: Coroutine[object, object, T]) -> T:
    """Run a command's coroutine; if it fails, say why on stderr and exit with its status."""
    try:
        return asyncio.run(work)
    except CommandError as error:
        fail(error.line(), error.exit_status)


def fail(line: str, exit_status: int = EXIT_FAILED) -> NoReturn:
    """Say in one line why the command failed, and exit."""
    sys.stderr.write(f"laurel: {one_line(line)}\n")
    raise typer.Exit(exit_status)
