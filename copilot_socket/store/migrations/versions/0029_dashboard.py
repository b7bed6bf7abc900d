"""What the dashboard needs: the version of each node, and one-time links."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0029_dashboard"
down_revision = "0028_crawler_ends"


def upgrade() -> None:
    """Run 0029_dashboard.sql."""
    run_sql_beside(__file__)
