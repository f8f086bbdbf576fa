"""A PostgreSQL cluster with the newest schema, made once and copied for each run."""

import asyncio
import atexit
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import quote

import asyncpg

from progress_service.settings import ProgressSettings
from progress_service.store.database import Database
from shared.embedded.postgres import EmbeddedPostgres
from tests.faults import capture, planted
from tests.faults.guard import Guard
from tests.signing import SECRET

DATABASE = "canary_database_c84e"
USER = "canary_user_93d0"
PASSWORD = "canary-postgres-password-e5a7"
# The harness comes by the socket and needs no password; the services do.
_ACCESS = "local all,replication laurel trust\nlocal all all scram-sha-256\n"


@cache
def template() -> Path:
    """The data folder of a stopped cluster; it is removed with this process. Blocks for about 3 s
    the first time: call it in a thread.
    """
    folder = Path(tempfile.mkdtemp(prefix="laurel-faults-"))
    guard = Guard(folder)
    guard.__enter__()
    atexit.register(guard.clear)
    folder.chmod(0o711)  # PostgreSQL runs as another user when we are root
    server = EmbeddedPostgres(folder, fast=True, log=folder / "postgres.log")
    server.start()
    try:
        asyncio.run(_fill(server))
    finally:
        server.stop()
    (folder / "data" / "pg_hba.conf").write_text(_ACCESS, encoding="utf-8")
    return folder / "data"


async def _fill(server: EmbeddedPostgres) -> None:
    admin = await asyncpg.connect(server.url("postgres"))
    await admin.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
    await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {USER}")
    await admin.close()
    as_user = server.url(DATABASE).replace("laurel@", f"{USER}:{quote(PASSWORD)}@")
    database = Database(ProgressSettings(postgres_url=as_user, token_secret=SECRET, auth="off"))
    await database.migrate()
    await database.close()
    admin = await asyncpg.connect(server.url(DATABASE))
    await admin.execute(capture.INSTALL)
    await admin.execute(planted.INSTALL)
    await admin.close()


def copy(source: Path, target: Path) -> None:
    """Copies a folder with its owners and modes."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
