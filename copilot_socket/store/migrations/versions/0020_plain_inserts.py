"""Statements of a web application that knew these tables before run as they are."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0020_plain_inserts"
down_revision = "0007_write_probe"


def upgrade() -> None:
    """Run 0020_plain_inserts.sql."""
    run_sql_beside(__file__)
