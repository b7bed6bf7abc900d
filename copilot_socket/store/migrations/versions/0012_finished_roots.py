"""An index of finished jobs that were not spawned, for cleanup."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0012_finished_roots"
down_revision = "0009_plain_inserts"


def upgrade() -> None:
    """Run 0012_finished_roots.sql."""
    run_sql_beside(__file__)
