"""The command of ``copilot-socket probe``."""

from copilot_socket.store.migrations import run_sql_beside

revision = "0026_probe"
down_revision = "0024_web_application"


def upgrade() -> None:
    """Run 0026_probe.sql."""
    run_sql_beside(__file__)
