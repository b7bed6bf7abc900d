"""`copilot-socket cleanup`: cleans up, as a node does every SOCKET_CLEANUP_INTERVAL, and checks the job counters."""

from argparse import Namespace
from typing import Any

from copilot_socket.cli.acts import act
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.offline import ready_database, run_in_reactor
from copilot_socket.cli.options import config_from
from copilot_socket.cli.output import emit, say
from copilot_socket.config import Config
from copilot_socket.event_bus import EventBus
from copilot_socket.store.audit import record
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.connection import Limits
from copilot_socket.store.counters import Counters
from copilot_socket.store.database import Database, DatabaseAway

_KINDS = {
    "clean_inconsistent": "jobs and assignments that did not match: {} repaired",
    "clean_jobs": "finished jobs: {} removed",
    "clean_audit": "rows of the audit log: {} removed",
    "clean_budgets": "budgets of requests of which nothing was heard for a day: {} removed",
    "clean_errors": "logged errors: {} removed",
    "clean_error_counts": "counts of errors by hour and account: {} removed",
    "clean_error_groups": "groups of errors that are not seen any more: {} removed",
    "clean_connections": "closed connections: {} removed",
    "clean_deliveries": "messages to webhooks: {} removed",
    "clean_crawler_ends": "counts of how attempts of crawlers ended, older than two hours: {} removed",
    "clean_crawlers": "crawlers not seen for a day: {} removed",
    "clean_disturbances": "losses of crawlers, older than two days: {} removed",
    "clean_history": "minutes and hours of the history: {} removed",
    "clean_keys": "idempotency keys: {} removed",
    "clean_operations": "bulk operations: {} removed",
    "check_counts": "counters of jobs that were wrong: {} repaired",
}


def run(args: Namespace) -> int:
    """Remove expired rows and print how many of each kind were removed. Raises CommandError."""
    config = config_from(args)
    with ready_database(config) as url:
        try:
            removed = run_in_reactor(lambda reactor: _clean(reactor, url, config))
        except DatabaseAway as error:
            raise CommandError(f"the database is no longer available: {error}; run this command again") from error
    if args.json:
        repaired = removed.pop("clean_inconsistent") + removed.pop("check_counts")
        counts = {name.removeprefix("clean_"): count for name, count in removed.items()}
        emit({"removed": counts, "repaired": repaired})
    else:
        for name, count in removed.items():
            say(_KINDS[name].format(count))
    return 0


async def _clean(reactor: Any, url: str, config: Config) -> dict[str, int]:
    database = Database(url, reactor, Limits(config.query_timeout, config.transaction_timeout), 1)
    ages = {"max_job_age": config.max_job_age, "max_error_age": config.max_error_log_age}
    ages["max_audit_age"] = config.audit_age
    done = act("cleanup", {f"{name}_seconds": age for name, age in ages.items()})
    try:
        # Before anything is gone: what follows are many transactions.
        await database.transaction(lambda tx: record(tx, done))
        cleaned = await Cleanup(database, reactor, **ages).run()
        return {**cleaned, "check_counts": await Counters(database, EventBus()).check()}
    finally:
        database.close()
