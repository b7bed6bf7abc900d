"""What crawlers say of their version, and how their attempts have ended of late."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0028_crawler_ends"
down_revision = "0027_webhooks"


def upgrade() -> None:
    """Run 0028_crawler_ends.sql."""
    run_sql_beside(__file__)
