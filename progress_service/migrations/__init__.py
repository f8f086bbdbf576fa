"""The database schema, as Alembic revisions whose SQL lies beside them in `versions/`."""

from pathlib import Path

from alembic import command, op
from alembic.config import Config
from sqlalchemy import Connection, text

_FOLDER = Path(__file__).parent
_LOCK = 0x4C61_7572_656C_0001
"""Advisory lock held while migrating, so that replicas that start together take turns."""


def run_sql(revision: str) -> None:
    """Runs `versions/<revision>.sql` statement by statement in the migration's transaction."""
    script = (_FOLDER / "versions" / f"{revision}.sql").read_text(encoding="utf-8")
    for statement in statements(script):
        op.get_bind().exec_driver_sql(statement)


def statements(script: str) -> list[str]:
    """The statements of a script: split at a `;` that ends a line outside of $$ bodies."""
    found: list[str] = []
    current: list[str] = []
    in_body = False
    for line in script.splitlines():
        if not current and (not line.strip() or line.lstrip().startswith("--")):
            continue
        current.append(line)
        if line.count("$$") % 2:
            in_body = not in_body
        if line.rstrip().endswith(";") and not in_body:
            found.append("\n".join(current))
            current = []
    if current:
        found.append("\n".join(current))
    return found


def migrate(connection: Connection) -> None:
    """Brings the schema to the newest revision; waits for another process that does so."""
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    connection.commit()
    try:
        config = Config()
        config.set_main_option("script_location", str(_FOLDER))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.commit()
