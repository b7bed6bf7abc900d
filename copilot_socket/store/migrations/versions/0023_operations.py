"""Bulk operations on jobs."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0023_operations"
down_revision = "0022_job_lists"


def upgrade() -> None:
    """Run 0023_operations.sql."""
    run_sql_beside(__file__)
