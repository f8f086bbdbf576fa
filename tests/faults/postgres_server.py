"""A PostgreSQL made from the template; it can be copied while it runs, and put back."""

import asyncio
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from shared.embedded.account import server_account
from shared.embedded.folders import private_folder
from shared.embedded.postgres import PORT, EmbeddedPostgres, binary
from shared.embedded.process import launched
from tests.faults.template import DATABASE, copy, template
from tests.faults.waiting import until

_ROOM = 1 << 30
_MOST_LOG_FILES = 64
_RECOVERY_S = 2.0
_FLUSH = "SELECT pg_logical_emit_message(true, 'harness', '', true)"
_TERMINATE = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE usename <> current_user AND pid <> pg_backend_pid()"""


class PostgresServer:
    """A server in `folder`. Where mounting is permitted, that is a file system of its own, in
    memory, which can be filled.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._embedded = EmbeddedPostgres(folder, fast=True, log=log)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._folder / "socket" / f".s.PGSQL.{PORT}"

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return self._embedded.pid

    @property
    def running(self) -> bool:
        """Whether the postmaster runs."""
        return self._embedded.running

    @property
    def room(self) -> int:
        """Bytes that are left on the disk."""
        return shutil.disk_usage(self._folder).free

    async def create(self) -> None:
        """Copies the template and starts."""
        source = await asyncio.to_thread(template)
        self._folder.mkdir()
        if may_mount():
            _mount("tmpfs", str(self._folder), "-t", "tmpfs", "-o", f"size={_ROOM},mode=711")
        await asyncio.to_thread(copy, source, self._data)
        await self.start()

    async def start(self) -> None:
        """Returns when it accepts connections."""
        await asyncio.to_thread(self._embedded.start)

    async def kill(self) -> None:
        """As a crash would; does nothing to what was not started."""
        if self._embedded.exit_code is not None or self.running:
            await asyncio.to_thread(self._embedded.kill)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """As the superuser, past the proxies."""
        opened = await asyncpg.connect(self._embedded.url(DATABASE))
        try:
            yield opened
        finally:
            await opened.close()

    async def copy_to(self, folder: Path) -> None:
        """Copies what it holds while it works: all that was committed before, perhaps more."""
        account = server_account()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        private_folder(folder, account)
        arguments = [
            *("--pgdata", str(folder), "--wal-method", "fetch", "--checkpoint", "fast"),
            *("--no-sync", "--no-manifest", "--dbname", self._embedded.url("postgres")),
        ]
        await asyncio.to_thread(
            subprocess.run,
            launched([str(binary("pg_basebackup")), *arguments], account, signal.SIGTERM),
            check=True,
            cwd=folder,
        )

    async def restore(self, folder: Path) -> None:
        """Puts a copy in the place of what it holds; it must have been killed. Starts it."""
        await asyncio.to_thread(shutil.rmtree, self._data)
        await asyncio.to_thread(copy, folder, self._data)
        await self.start()

    async def end_sessions(self) -> None:
        """Returns when no service is connected any more."""
        async with self.connection() as connection:
            while await connection.fetchval(_TERMINATE):
                await asyncio.sleep(0.01)

    async def fill_disk(self, *, also_log: bool) -> None:
        """From now on there is no room but what is in use. `also_log`: what was set aside for the
        log is used up too, and the server goes down.
        """
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            async with self.connection() as connection:
                await asyncio.to_thread(self._leave_no_room)
                for _ in range(_MOST_LOG_FILES if also_log else 0):
                    await connection.execute("SELECT pg_switch_wal()")
                    await connection.execute(_FLUSH)

    def _leave_no_room(self) -> None:
        """Tried again when more has come into use meanwhile: nothing is made smaller than that."""
        for last in (False, False, False, False, True):
            used = shutil.disk_usage(self._folder).used
            try:
                _mount("tmpfs", str(self._folder), "-o", f"remount,size={used}")
            except subprocess.CalledProcessError:
                if last:
                    raise
            else:
                return

    async def recover(self) -> None:
        """Returns when it accepts connections. One that does not within a while, as after it ran
        out of room while it started, is killed and started again.
        """
        if self.running:
            with suppress(TimeoutError):
                await until(self._accepts, "PostgreSQL accepts connections", _RECOVERY_S)
                return
            await self.kill()
        await self.start()

    async def _accepts(self) -> bool:
        try:
            async with self.connection():
                return True
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False

    async def clear_disk(self) -> None:
        """There is room again."""
        if may_mount():
            await asyncio.to_thread(
                _mount, "tmpfs", str(self._folder), "-o", f"remount,size={_ROOM}"
            )


@cache
def may_mount() -> bool:
    """Whether this process may mount and unmount."""
    with tempfile.TemporaryDirectory(prefix="laurel-faults-") as folder:
        mounted = subprocess.run(
            ["mount", "tmpfs", folder, "-t", "tmpfs"], check=False, capture_output=True
        )
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return mounted.returncode == 0


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
