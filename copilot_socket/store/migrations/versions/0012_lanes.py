"""Jobs are claimed by lanes: the queued jobs of one account and command."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0012_lanes"
down_revision = "0011_last_heard"


def upgrade() -> None:
    """Run 0012_lanes.sql."""
    run_sql_beside(__file__)
