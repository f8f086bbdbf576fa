"""Attempts under review, and how fast users earn."""

from progress_service.migrations import run_sql

revision = "0005_plausibility"
down_revision = "0004_boards"


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
