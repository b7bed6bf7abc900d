"""The first schema."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0001_spine"
down_revision = None


def upgrade() -> None:
    """Run 0001_spine.sql."""
    run_sql_beside(__file__)
