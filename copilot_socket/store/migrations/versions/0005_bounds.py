"""Every value that a table accepts can be read and handed out; existing rows are repaired."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0005_bounds"
down_revision = "0004_reserve"


def upgrade() -> None:
    """Run 0005_bounds.sql."""
    run_sql_beside(__file__)
