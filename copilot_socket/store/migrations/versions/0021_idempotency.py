"""Idempotency-Keys of all requests, not only of submissions."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0021_idempotency"
down_revision = "0020_error_groups"


def upgrade() -> None:
    """Run 0021_idempotency.sql."""
    run_sql_beside(__file__)
