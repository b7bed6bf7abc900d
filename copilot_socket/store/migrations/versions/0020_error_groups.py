"""Errors are grouped by fingerprint."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0020_error_groups"
down_revision = "0019_counts"


def upgrade() -> None:
    """Run 0020_error_groups.sql."""
    run_sql_beside(__file__)
