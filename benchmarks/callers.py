"""As whom the benchmarks call: a backend in what is measured, an administrator in all else."""

from grpc import aio

from shared import channels
from shared.auth.call_token import CallToken
from shared.identity import Role
from shared.settings import CommonSettings


def bearer(role: Role) -> CallToken:
    """What gives the value of `authorization`."""
    return CallToken(CommonSettings.load(), "benchmarks", role)


def open_channel(target: str) -> aio.Channel:
    """A channel of an administrator."""
    return channels.open_channel(target, token=bearer(Role.ADMIN))
