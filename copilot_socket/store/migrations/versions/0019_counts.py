"""Jobs are counted as they change, and what nodes do is recorded by the minute."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0019_counts"
down_revision = "0018_key_fingerprints"


def upgrade() -> None:
    """Run 0019_counts.sql."""
    run_sql_beside(__file__)
