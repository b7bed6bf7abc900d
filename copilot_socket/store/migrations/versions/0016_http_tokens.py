"""Tokens of the HTTP API, and browsers' sessions."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0016_http_tokens"
down_revision = "0015_owners"


def upgrade() -> None:
    """Run 0016_http_tokens.sql."""
    run_sql_beside(__file__)
