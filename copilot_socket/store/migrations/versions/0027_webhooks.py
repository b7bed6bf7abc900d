"""Webhooks, and what was sent to them."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0027_webhooks"
down_revision = "0026_probe"


def upgrade() -> None:
    """Run 0027_webhooks.sql."""
    run_sql_beside(__file__)
