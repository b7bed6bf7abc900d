"""A new job may be assigned from the start, where a node hands it out in the statement that stores it."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0003_hand_out"
down_revision = "0002_lean"


def upgrade() -> None:
    """Run 0003_hand_out.sql."""
    run_sql_beside(__file__)
