"""Many tenures, and what replicas of an older release need beside those of this one."""

from progress_service.migrations import run_sql

revision = "0007_upgrades"
down_revision = "0006_bounded_history"


def upgrade() -> None:
    """Forward only: a ledger is not migrated back; restore a backup instead."""
    run_sql(revision)
