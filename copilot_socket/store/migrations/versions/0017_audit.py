"""Who did what, from where, with which outcome."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0017_audit"
down_revision = "0016_http_tokens"


def upgrade() -> None:
    """Run 0017_audit.sql."""
    run_sql_beside(__file__)
