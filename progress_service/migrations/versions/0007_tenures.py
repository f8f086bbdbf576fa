"""Many tenures: each erasure begins one."""

from progress_service.migrations import run_sql

revision = "0007_tenures"
down_revision = "0006_bounded_history"


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
