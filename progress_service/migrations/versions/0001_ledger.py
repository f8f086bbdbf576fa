"""Users, courses, attempts, ledger."""

from progress_service.migrations import run_sql

revision = "0001_ledger"
down_revision = None


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
