"""A token goes only to the origin that it was given for; why a refresh failed, and when the next may be tried."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0008_credentials"
down_revision = "0007_write_probe"


def upgrade() -> None:
    """Run 0008_credentials.sql."""
    run_sql_beside(__file__)
