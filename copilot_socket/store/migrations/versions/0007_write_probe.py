"""Somewhere to try whether the database can still write."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0007_write_probe"
down_revision = "0006_any_schema"


def upgrade() -> None:
    """Run 0007_write_probe.sql."""
    run_sql_beside(__file__)
