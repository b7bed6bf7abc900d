"""Which secret keys each node has."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0018_key_fingerprints"
down_revision = "0017_audit"


def upgrade() -> None:
    """Run 0018_key_fingerprints.sql."""
    run_sql_beside(__file__)
