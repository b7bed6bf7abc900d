"""`copilot-socket migrate`: upgrades the schema of DATABASE_URL, or of the embedded database."""

from argparse import Namespace

from copilot_socket.cli.acts import act
from copilot_socket.cli.options import config_from
from copilot_socket.cli.output import complain, emit, say
from copilot_socket.config import Config
from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedPostgres


def run(args: Namespace) -> int:
    """Upgrade the schema and print both revisions. Raises ConfigFaults, SchemaError or EmbeddedError."""
    before = _upgrade(config_from(args))
    if args.json:
        emit({"before": before.current, "now": before.head, "notices": before.notices})
    elif before.standing is migrate.Standing.UP_TO_DATE:
        say(f"The database is up to date (revision {before.head}); nothing to do.")
    else:
        for notice in before.notices:
            say(f"  {notice}")
        say(f"The database is up to date: revision {before.head} (before: {before.current or 'no tables'}).")
    return 0


def _upgrade(config: Config) -> migrate.SchemaState:
    if config.database_url is not None:
        return migrate.upgrade(config.database_url, act("migrate"))
    embedded = EmbeddedPostgres(config.state_dir, tell=complain)
    try:
        return migrate.upgrade(embedded.start(), act("migrate"))
    finally:
        embedded.stop()  # no effect while a node uses it
