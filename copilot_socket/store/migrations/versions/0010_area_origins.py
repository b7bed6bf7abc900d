"""Areas are known by their GitLab: several may have the same path, and the same numeric id."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0010_area_origins"
down_revision = "0009_plain_inserts"


def upgrade() -> None:
    """Run 0010_area_origins.sql."""
    run_sql_beside(__file__)
