"""The history is bounded: what was pruned, and what stays of it."""

from progress_service.migrations import run_sql

revision = "0006_bounded_history"
down_revision = "0005_plausibility"


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
