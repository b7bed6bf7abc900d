"""Who a crawlerId belongs to."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0015_owners"
down_revision = "0014_restrictions"


def upgrade() -> None:
    """Run 0015_owners.sql."""
    run_sql_beside(__file__)
