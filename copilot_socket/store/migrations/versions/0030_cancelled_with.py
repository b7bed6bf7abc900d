"""Which bulk operation has cancelled a job, bounds of operations, and one way to notify nodes of lanes."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0030_cancelled_with"
down_revision = "0029_dashboard"


def upgrade() -> None:
    """Run 0030_cancelled_with.sql."""
    run_sql_beside(__file__)
