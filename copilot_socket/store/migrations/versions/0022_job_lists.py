"""Indexes for lists of jobs."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0022_job_lists"
down_revision = "0021_idempotency"


def upgrade() -> None:
    """Run 0022_job_lists.sql."""
    run_sql_beside(__file__)
