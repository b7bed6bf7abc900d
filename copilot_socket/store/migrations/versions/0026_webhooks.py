"""Webhooks, and what was sent to them."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0026_webhooks"
down_revision = "0025_live_events"


def upgrade() -> None:
    """Run 0026_webhooks.sql."""
    run_sql_beside(__file__)
