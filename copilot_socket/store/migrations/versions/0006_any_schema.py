"""The tables may stand in any schema, whatever search_path those have who write to them."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0006_any_schema"
down_revision = "0005_bounds"


def upgrade() -> None:
    """Run 0006_any_schema.sql."""
    run_sql_beside(__file__)
