"""An assignment may be a node's, which has not handed it out yet."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0004_reserve"
down_revision = "0003_hand_out"


def upgrade() -> None:
    """Run 0004_reserve.sql."""
    run_sql_beside(__file__)
