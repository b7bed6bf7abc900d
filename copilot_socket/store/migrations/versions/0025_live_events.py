"""Live events of all nodes, in one order."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0025_live_events"
down_revision = "0024_web_application"


def upgrade() -> None:
    """Run 0025_live_events.sql."""
    run_sql_beside(__file__)
