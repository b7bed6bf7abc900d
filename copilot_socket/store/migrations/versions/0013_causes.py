"""Every end of an attempt has a cause."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0013_causes"
down_revision = "0012_lanes"


def upgrade() -> None:
    """Run 0013_causes.sql."""
    run_sql_beside(__file__)
