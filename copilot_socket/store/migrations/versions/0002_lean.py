"""Cheaper rows: domains for checks, no computed column, a try's ending kept with its assignment."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0002_lean"
down_revision = "0001_spine"


def upgrade() -> None:
    """Run 0002_lean.sql."""
    run_sql_beside(__file__)
