"""The read side of the HTTP API: jobs, accounts, areas, crawlers, counts. Never a token."""

from collections.abc import Mapping

from copilot_socket.core.access import Within
from copilot_socket.core.history import Interval
from copilot_socket.core.jobs import Status
from copilot_socket.core.why import explain
from copilot_socket.store.account_lists import AccountLists
from copilot_socket.store.area_lists import AreaLists
from copilot_socket.store.columns import columns
from copilot_socket.store.counts import count_jobs, count_jobs_of
from copilot_socket.store.crawler_lists import CrawlerLists
from copilot_socket.store.database import Database
from copilot_socket.store.history import History
from copilot_socket.store.listing import Listing, Lists, Page, Record, bounded, record
from copilot_socket.store.shown.access import AuditEntry, Token
from copilot_socket.store.shown.jobs import Assignment, Attempt, Job, JobError
from copilot_socket.store.shown.operations import BulkOperation
from copilot_socket.store.shown.restrictions import BUDGETS, HOSTS, Budget, Host, Pause
from copilot_socket.store.shown.webhooks import Webhook, WebhookDelivery
from copilot_socket.store.single import ONE_BUDGET, ONE_HOST, ONE_PAUSE, ONE_WEBHOOK
from copilot_socket.store.user_crawls import UserCrawls
from copilot_socket.store.why import facts_of

LATEST = 100
"""Past attempts and errors that are shown with a job, at most."""
ERROR_BYTES = 1024 * 1024
"""A job's errors are complete, newest first, up to the one that reaches this size; the others lack details."""
MESSAGE_CHARACTERS = 1000
"""The length of the message of an error without details."""
AUDIT_FILTERS = {
    # The indexes are on as much of the text as always fits.
    "actor": "left(actor, 255) = left(%(actor)s, 255) AND actor = %(actor)s",
    "target": "left(target, 255) = left(%(target)s, 255) AND target = %(target)s",
    "door": "door = %(door)s",
    "action": "action = %(action)s",
    "outcome": "outcome = %(outcome)s",
    "after": "timestamp >= %(after)s",
    "before": "timestamp < %(before)s",
}

_TRIES = f"""
SELECT {", ".join(columns(Attempt).values())}, count(*) OVER () FROM job_tries WHERE job_id = %(id)s ORDER BY try DESC
LIMIT {LATEST}
"""

_ERRORS = f"""
SELECT id, job_id, timestamp, error_type,
       CASE WHEN shown THEN error_message ELSE left(error_message, {MESSAGE_CHARACTERS}) END,
       CASE WHEN shown THEN stack_trace END, CASE WHEN shown THEN context::text END, retry_count, is_recoverable,
       resolution, cause, fingerprint,
       array_remove(ARRAY[
         CASE WHEN NOT shown AND length(error_message) > {MESSAGE_CHARACTERS} THEN 'error_message' END,
         CASE WHEN NOT shown AND stack_trace IS NOT NULL THEN 'stack_trace' END,
         CASE WHEN NOT shown AND context IS NOT NULL THEN 'context' END], NULL),
       (SELECT count(*) FROM job_error_log WHERE job_id = %(id)s)
FROM (SELECT l.*, sum(size) OVER (ORDER BY id DESC) - size < {ERROR_BYTES} AS shown
      FROM (SELECT e.*, octet_length(row_to_json(e)::text) AS size
            FROM job_error_log e WHERE job_id = %(id)s ORDER BY id DESC LIMIT {LATEST}) AS l) AS sized
ORDER BY id DESC
"""


class Catalog:
    """Reads from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lists = Lists(database)
        self._history = History(database)
        self.accounts = AccountLists(database, self._lists)
        self.users = UserCrawls(database)
        self.areas = AreaLists(database, self._lists)
        self.crawlers = CrawlerLists(database, self._lists)

    async def covers_job(self, within: Within, job_id: str) -> bool:
        """Whether there is such a job, and it is *within*."""
        rows = await self._database.query("SELECT account_id, user_id FROM jobs WHERE id = %(id)s", {"id": job_id})
        return any(within.covers_job(account, user) for account, user in rows)

    async def job_status(self, job_id: str) -> Status | None:
        """The state of a job; None if there is no such job."""
        rows = await self._database.query("SELECT status FROM jobs WHERE id = %(id)s", {"id": job_id})
        return Status(rows[0][0]) if rows else None

    async def job(self, job_id: str) -> Record | None:
        """One job with its current or last ``assignment``, the ``history`` of ended attempts, and ``errors``.

        Of ``history`` and ``errors`` the latest are included; ``history_total`` and ``errors_total`` count all.
        ``truncated`` names the fields that are too large to be shown: they are null, or shortened. None if there is
        no such job.
        """
        params = {"id": job_id}
        rows = await self._database.query(f"SELECT {bounded(columns(Job))} FROM jobs WHERE id = %(id)s", params)
        if not rows:
            return None
        assignments = await self._database.query(
            f"SELECT {bounded(columns(Assignment))} FROM job_assignments WHERE web_app_job_id = %(id)s", params
        )
        tries = await self._database.query(_TRIES, params)
        errors = await self._database.query(_ERRORS, params)
        return record([*columns(Job), "truncated"], rows[0]) | {
            "assignment": record([*columns(Assignment), "truncated"], assignments[0]) if assignments else None,
            "history": [record(list(columns(Attempt)), row[:-1]) for row in reversed(tries)],
            "history_total": tries[0][-1] if tries else 0,
            "errors": [record([*columns(JobError), "truncated"], row[:-1]) for row in reversed(errors)],
            "errors_total": errors[0][-1] if errors else 0,
        }

    async def why(self, job_id: str) -> Record | None:
        """Why a job is in its state, or does not run; None if there is no such job."""
        facts = await facts_of(self._database, job_id)
        if facts is None:
            return None
        why = explain(facts)
        reasons = [{"code": each.code, "text": each.text, **each.details} for each in why.reasons]
        return {"id": job_id, "status": facts.job.status, "sentence": why.sentence, "reasons": reasons}

    async def pauses(self, page: Page) -> Listing:
        """The pauses in force, oldest first."""
        return await self._lists.read("pauses", columns(Pause), page, key=["id"])

    async def pause_of_everything(self) -> Listing:
        """That one, if it is in force."""
        everything = ["scope = 'everything'"]
        return await self._lists.read("pauses", columns(Pause), Page(1), key=["id"], conditions=everything)

    async def pause(self, pause_id: str) -> Record | None:
        """One pause; None if it is not in force."""
        return await ONE_PAUSE.read(self._database, {"id": pause_id})

    async def budgets(self, page: Page) -> Listing:
        """Budgets by host, account and name."""
        key = [f"b.{name}" for name in ("gitlab_origin", "account_id", "name")]
        return await self._lists.read(BUDGETS, columns(Budget), page, key=key)

    async def budget(self, origin: str, account: str, name: str) -> Record | None:
        """One budget; None if nothing is known of it."""
        return await ONE_BUDGET.read(self._database, {"origin": origin, "account": account, "name": name})

    async def operations(self, page: Page, filters: Mapping[str, str], starter: str | None) -> Listing:
        """Bulk operations, newest first. *filters*: ``status``; *starter*: only those of this actor."""
        conditions = ["status = %(status)s"] if "status" in filters else []
        conditions += [] if starter is None else ["created_by = %(starter)s"]
        return await self._lists.read(
            "operations",
            columns(BulkOperation),
            page,
            key=["id"],
            conditions=conditions,
            filters={**filters, "starter": starter},
            descending=True,
        )

    async def operation(self, operation: str, starter: str | None = None) -> Record | None:
        """One bulk operation; *starter*: if it is of this actor. None if there is no such operation."""
        shown = columns(BulkOperation)
        rows = await self._database.query(
            f"SELECT {', '.join(shown.values())} FROM operations"
            " WHERE id = %(id)s AND created_by = coalesce(%(starter)s, created_by)",
            {"id": operation, "starter": starter},
        )
        return record(list(shown), rows[0]) if rows else None

    async def tokens(self, page: Page) -> Listing:
        """Tokens of the HTTP API by name: what is stored of them but the hash."""
        return await self._lists.read("http_tokens", columns(Token), page, key=["name"])

    async def webhooks(self, page: Page) -> Listing:
        """Webhooks by id: what is stored of them but the secrets."""
        return await self._lists.read("webhooks", columns(Webhook), page, key=["id"])

    async def webhook(self, webhook: str) -> Record | None:
        """One webhook; None if there is no such webhook."""
        return await ONE_WEBHOOK.read(self._database, {"id": webhook})

    async def deliveries(self, page: Page, webhook: str, filters: Mapping[str, str]) -> Listing:
        """The deliveries of *webhook*, newest first. *filters*: ``status``, ``id``."""
        return await self._lists.read(
            "webhook_deliveries",
            columns(WebhookDelivery),
            page,
            key=["id"],
            conditions=["webhook_id = %(webhook)s", *(f"{name} = %({name})s" for name in filters)],
            filters={**filters, "webhook": webhook},
            descending=True,
        )

    async def hosts(self, page: Page) -> Listing:
        """GitLab hosts by origin."""
        return await self._lists.read(HOSTS, columns(Host), page, key=["origin"])

    async def host(self, origin: str) -> Record | None:
        """One host; None if no account is at it."""
        return await ONE_HOST.read(self._database, {"origin": origin})

    async def audit(self, page: Page, filters: Mapping[str, str]) -> Listing:
        """Acts and refusals, newest first. *filters*: by :data:`AUDIT_FILTERS`."""
        conditions = [condition for name, condition in AUDIT_FILTERS.items() if name in filters]
        return await self._lists.read(
            "audit_log",
            columns(AuditEntry),
            page,
            key=["id"],
            conditions=conditions,
            filters=filters,
            descending=True,
        )

    async def stats(self) -> Record:
        """Counts: jobs by state, also by command, the queue, and crawlers."""
        jobs = await count_jobs(self._database)
        queued = jobs.by_status[Status.QUEUED]
        return {
            "jobs": _named(jobs.by_status),
            "commands": {command: _named(counts) for command, counts in sorted(jobs.commands.items())},
            "queue": {
                "ready": queued - jobs.scheduled - jobs.held_back,
                "held_back": jobs.held_back,
                "path_paused": jobs.path_paused,
                "scheduled": jobs.scheduled,
                "oldest_seconds": jobs.oldest,
                "unroutable": sum(jobs.unroutable.values()),
                "unroutable_commands": jobs.unroutable,
            },
            "crawlers": await self.crawlers.counts(),
        }

    async def stats_of(self, account: str | None, user: str | None, within: Within | None = None) -> Record:
        """Jobs by state: those of *account* and of *user*, if given, that are *within*."""
        accounts = _among(account, None if within is None else within.accounts)
        users = _among(user, None if within is None else within.users)
        return {"jobs": _named(await count_jobs_of(self._database, accounts, users))}

    async def history(self, resolution: str, since: float, until: float) -> list[tuple[float, Interval]]:
        """See :meth:`.History.read`."""
        return await self._history.read(resolution, since, until)


def _named(counts: Mapping[Status, int]) -> dict[str, int]:
    return {str(status): count for status, count in counts.items()}


def _among(given: str | None, allowed: frozenset[str] | None) -> frozenset[str] | None:
    """What is both *given* and *allowed*; None stands for everything."""
    if given is None:
        return allowed
    return frozenset({given}) if allowed is None else frozenset({given}) & allowed
