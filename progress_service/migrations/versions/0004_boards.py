"""Boards, whole."""

from progress_service.migrations import run_sql

revision = "0004_boards"
down_revision = "0003_learning"


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
