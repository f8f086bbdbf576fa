"""Ports for servers under test.

Below the range from which the kernel takes the ports of outgoing connections (32768 on Linux, 49152
on macOS): a port that a probe finds free there is not taken by a passing client before the server
binds it, nor while the server is restarted. Each block is this process's until its end, so that
this user's tests in other processes, with the same temporary folder, never choose the same one: it
holds a lock on the block's byte of one file, which is empty and stays.
"""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

_BLOCK = 8
_FIRST, _END = 12_000, 32_000
_held: set[int] = set()
_left: list[int] = []


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on, given once."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Up to 8 consecutive ports on 127.0.0.1 that nothing listens on, given once."""
    assert count <= _BLOCK
    while True:
        if len(_left) < count:
            _left[:] = _next_block()
        ports = [_left.pop(0) for _ in range(count)]
        if all(is_free(port) for port in ports):
            return ports


def _next_block() -> range:
    """A block that neither this nor another process holds."""
    while True:
        first = random.randrange(_FIRST, _END, _BLOCK)
        if first in _held:  # which the lock would not tell: it is this process's
            continue
        try:
            fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, first)
        except (BlockingIOError, PermissionError):  # either, as POSIX has it
            continue
        _held.add(first)
        return range(first, first + _BLOCK)


@cache
def _locks() -> IO[str]:
    """Open until the process ends: closing it would give up all locks."""
    name = f"laurel-test-ports-{os.getuid()}.lock"
    return (Path(tempfile.gettempdir()) / name).open("a")


def is_free(port: int) -> bool:
    """Whether nothing listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
