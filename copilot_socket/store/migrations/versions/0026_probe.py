"""The command of ``copilot-socket probe``."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0026_probe"
down_revision = "0025_live_events"


def upgrade() -> None:
    """Run 0026_probe.sql."""
    run_sql_beside(__file__)
