"""Corrections, streaks, jobs of courses, resets, and people who leave."""

from progress_service.migrations import run_sql

revision = "0003_learning"
down_revision = "0002_history"


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
