"""The system account that PostgreSQL runs as when we are root, and what it may reach.

PostgreSQL refuses to run as root. Everyone else runs it as themselves.
"""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import structlog

from shared.embedded.errors import EmbeddedError

log = structlog.get_logger(__name__)

SYSTEM_USER = "laurel-postgres"


@dataclass(frozen=True)
class Account:
    """A user and group that a child process runs as."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """The account to run PostgreSQL as: None (ourselves), or as root a system user made for it.

    Raises EmbeddedError when the user is missing and cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = _make_system_user()
    return Account(entry.pw_uid, entry.pw_gid)


def _make_system_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=os.defpath + ":/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedError(
            "PostgreSQL cannot run as root, and there is no `useradd` to make it a user: "
            f"create the user {SYSTEM_USER}, run as an ordinary user, or set LAUREL_POSTGRES_URL",
        )
    options = ["--system", "--no-create-home", "--shell", "/bin/false"]
    try:
        subprocess.run([useradd, *options, SYSTEM_USER], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        # Another process may have made the user at the same moment.
        if SYSTEM_USER not in {entry.pw_name for entry in pwd.getpwall()}:
            raise EmbeddedError(f"useradd {SYSTEM_USER} failed: {error.stderr}") from error
    log.info("system_user_added", user=SYSTEM_USER)
    return pwd.getpwnam(SYSTEM_USER)


def let_traverse(path: Path, account: Account) -> None:
    """Lets the account reach `path`: adds o+x to those parent folders that lack it.

    Only root calls this. The bit permits passing through a folder whose content one can name; it
    shows no listing and opens no file. Each folder that is changed is logged.
    """
    for folder in reversed(path.resolve().parents):
        mode = folder.stat().st_mode
        if not _may_traverse(folder.stat(), account):
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            log.warning("traverse_permission_added", folder=str(folder), needed_by=SYSTEM_USER)


def _may_traverse(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
