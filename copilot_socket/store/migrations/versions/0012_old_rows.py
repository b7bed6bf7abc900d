"""Indexes for what is over: finished jobs that were not spawned, and the connections of crawlers that are gone."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0012_old_rows"
down_revision = "0009_plain_inserts"


def upgrade() -> None:
    """Run 0012_old_rows.sql."""
    run_sql_beside(__file__)
