"""An index of connections by crawler, also of those that are over."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0011_last_heard"
down_revision = "0010_area_origins"


def upgrade() -> None:
    """Run 0011_last_heard.sql."""
    run_sql_beside(__file__)
