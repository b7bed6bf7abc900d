"""Indexes for what a web application asks of areas and discoveries."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0024_web_application"
down_revision = "0023_operations"


def upgrade() -> None:
    """Run 0024_web_application.sql."""
    run_sql_beside(__file__)
