"""What restricts dispatch: pauses, limits of running jobs, and budgets of requests."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0014_restrictions"
down_revision = "0013_causes"


def upgrade() -> None:
    """Run 0014_restrictions.sql."""
    run_sql_beside(__file__)
