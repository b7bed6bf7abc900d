"""Statements of a web application that knew these tables before run as they are."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0009_plain_inserts"
down_revision = "0008_credentials"


def upgrade() -> None:
    """Run 0009_plain_inserts.sql."""
    run_sql_beside(__file__)
