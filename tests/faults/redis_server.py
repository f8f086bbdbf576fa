"""A Redis with a password and an append-only file, on a port: so that others can follow it."""

import asyncio
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.embedded.logfile import LogFile
from shared.embedded.process import ChildProcess, Command
from shared.embedded.redis import newest_binary
from tests.faults.waiting import until

PASSWORD = "canary-redis-password-6b1f"
_DUMP = "dump.rdb"


@cache
def _binary() -> str:
    return newest_binary().path


class RedisServer:
    """A server in `folder`; with `follows`, a replica of another one until it is promoted."""

    def __init__(
        self, folder: Path, log: Path, port: int, follows: "RedisServer | None" = None
    ) -> None:
        self._folder = folder
        self._log = LogFile(log)
        self._follows = follows
        self._child: ChildProcess | None = None
        self.port = port
        self.client: Any = Redis(
            port=port, password=PASSWORD, decode_responses=True, socket_timeout=5
        )
        """Past the proxies."""

    @property
    def pid(self) -> int:
        """The process's; there must have been one."""
        assert self._child is not None
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.running

    async def start(self) -> None:
        """Returns when it has loaded its data, and a replica all of the other's."""
        await self._start("--appendonly", "yes")

    async def kill(self) -> None:
        """As a crash would."""
        if self._child is not None:
            await asyncio.to_thread(self._child.kill)

    async def promote(self) -> None:
        """A replica follows no more: it stays behind from here on, and takes writes."""
        self._follows = None
        await self.client.execute_command("REPLICAOF", "NO", "ONE")

    async def dump_to(self, path: Path) -> None:
        """Writes what it holds into a file."""
        await self.client.save()
        await asyncio.to_thread(shutil.copyfile, self._folder / _DUMP, path)

    async def restore(self, path: Path) -> None:
        """Ends the process and starts another one that holds what the file does, and no more."""
        await self.kill()
        await asyncio.to_thread(shutil.rmtree, self._folder)
        self._folder.mkdir()
        await asyncio.to_thread(shutil.copyfile, path, self._folder / _DUMP)
        # With an append-only file it would read that alone.
        await self._start("--appendonly", "no")
        await self.client.config_set("appendonly", "yes")
        await until(self._is_appending, "the append-only file is written")

    async def close(self) -> None:
        """Kills the server and closes the client."""
        await self.client.aclose()
        await self.kill()

    async def _start(self, *append: str) -> None:
        self._folder.mkdir(exist_ok=True)
        follows = self._follows
        of = () if follows is None else ("--replicaof", "127.0.0.1", str(follows.port))
        arguments = [
            *("--bind", "127.0.0.1", "--port", str(self.port), "--daemonize", "no"),
            *("--dir", str(self._folder), "--dbfilename", _DUMP, "--save", ""),
            *("--requirepass", PASSWORD, "--masterauth", PASSWORD),
            *("--appendfsync", "everysec", "--maxmemory-policy", "noeviction"),
            *("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"),
            *(*append, *of),
        ]
        self._child = ChildProcess(
            Command("Redis", [_binary(), *arguments], self._log, working_directory=self._folder)
        )
        await asyncio.to_thread(self._child.start)
        await until(self._answers, "Redis answers")
        if follows is not None:
            await until(self._is_linked, "the replica follows")

    async def _answers(self) -> bool:
        try:
            return bool(await self.client.ping())
        except (RedisError, OSError):  # not yet there, or loading
            return False

    async def _is_linked(self) -> bool:
        state = await self.client.info("replication")
        return bool(state.get("master_link_status") == "up")

    async def _is_appending(self) -> bool:
        state = await self.client.info("persistence")
        return bool(
            state["aof_enabled"]
            and not state["aof_rewrite_in_progress"]
            and not state["aof_rewrite_scheduled"]
        )
