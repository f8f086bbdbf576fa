"""The ordered history and its fold."""

from progress_service.migrations import run_sql

revision = "0002_history"
down_revision = "0001_ledger"


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
