"""The endpoints of the HTTP port, and what they are made of."""

import time
from collections.abc import Callable, Iterable

import attrs
from prometheus_client import CollectorRegistry
from twisted.internet.interfaces import IReactorTime

from copilot_socket.core.access import Role
from copilot_socket.event_bus import EventBus
from copilot_socket.http.access import Access
from copilot_socket.http.account_handlers import AccountHandlers
from copilot_socket.http.area_handlers import AreaHandlers
from copilot_socket.http.audit_handlers import AuditHandlers
from copilot_socket.http.budget_handlers import BudgetHandlers
from copilot_socket.http.bulk_handlers import BulkHandlers
from copilot_socket.http.channel import MAX_CONNECTIONS
from copilot_socket.http.crawler_handlers import CrawlerHandlers
from copilot_socket.http.description_handlers import DescriptionHandlers
from copilot_socket.http.endings import Endings
from copilot_socket.http.error_handlers import ErrorHandlers
from copilot_socket.http.event_handlers import EventHandlers
from copilot_socket.http.feed import Feed
from copilot_socket.http.health import Health, HealthHandlers
from copilot_socket.http.idempotency import Idempotency
from copilot_socket.http.job_handlers import JobHandlers
from copilot_socket.http.overview import Overviews
from copilot_socket.http.overview_handlers import OverviewHandlers
from copilot_socket.http.restriction_handlers import RestrictionHandlers
from copilot_socket.http.routes import Route
from copilot_socket.http.settings_handlers import NodeSettings, SettingsHandlers
from copilot_socket.http.slices import Slices
from copilot_socket.http.stats_handlers import StatsHandlers
from copilot_socket.http.token_handlers import TokenHandlers
from copilot_socket.http.user_handlers import UserHandlers
from copilot_socket.http.web_handlers import WebHandlers
from copilot_socket.http.webhook_handlers import WebhookHandlers
from copilot_socket.store.accounts import Accounts
from copilot_socket.store.budgets import BudgetStore
from copilot_socket.store.bulk import BulkOperations
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.errors import ErrorGroups
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.submission import Submission
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.webhooks import Webhooks


@attrs.frozen(kw_only=True)
class Parts:
    """Dependencies and settings of the HTTP port. *registry* None: no metrics.

    *rate*: requests of a client without a valid token a second; 0: any number.
    *uids*: the users who need no token on ``http.sock``.
    *slices* schedules the work of large requests; *time_of_day* returns seconds since 1970.
    """

    submission: Submission
    catalog: Catalog
    jobs: JobLists
    bulk: BulkOperations
    endings: Endings
    accounts: Accounts
    modes: CrawlerModes
    restrictions: RestrictionStore
    budgets: BudgetStore
    errors: ErrorGroups
    webhooks: Webhooks
    transitions: Transitions
    idempotency: Idempotency
    bus: EventBus
    feed: Feed
    overviews: Overviews
    settings: NodeSettings
    health: Health
    registry: CollectorRegistry | None
    reactor: IReactorTime
    slices: Slices
    work_came: Callable[[Iterable[tuple[str, str]]], None]
    time_of_day: Callable[[], float] = time.time
    max_connections: int = MAX_CONNECTIONS
    access: Access
    uids: frozenset[int] = frozenset()
    rate: int = 0
    origins: frozenset[str] = frozenset()


def routes(parts: Parts) -> tuple[Route, ...]:
    """The route table."""
    health = HealthHandlers(parts.health, parts.registry, parts.time_of_day)
    jobs = JobHandlers(
        parts.submission, parts.catalog, parts.jobs, parts.transitions, parts.bulk, parts.endings, parts.work_came
    )
    bulk = BulkHandlers(parts.bulk, parts.catalog)
    restrictions = RestrictionHandlers(parts.restrictions, parts.catalog, parts.bus, parts.time_of_day)
    budgets = BudgetHandlers(parts.budgets, parts.restrictions, parts.catalog, parts.bus, parts.time_of_day)
    accounts = AccountHandlers(
        parts.catalog, parts.accounts, parts.restrictions, parts.submission, parts.bus, parts.work_came
    )
    crawlers = CrawlerHandlers(parts.catalog, parts.modes)
    areas = AreaHandlers(parts.catalog)
    users = UserHandlers(parts.catalog)
    events = EventHandlers(parts.feed)
    overview = OverviewHandlers(parts.overviews)
    settings = SettingsHandlers(parts.settings)
    tokens = TokenHandlers(parts.access, parts.catalog, parts.time_of_day)
    audit = AuditHandlers(parts.catalog)
    stats = StatsHandlers(parts.catalog, parts.time_of_day)
    errors = ErrorHandlers(parts.errors, parts.bulk, parts.catalog)
    webhooks = WebhookHandlers(parts.webhooks, parts.catalog)
    web = WebHandlers()
    description = DescriptionHandlers(lambda: table)
    table = (
        Route("GET", "/health/socket", health.socket_health, needs=None),
        Route("GET", "/health/live", health.live, needs=None),
        Route("GET", "/health/ready", health.ready, needs=None),
        Route("GET", "/metrics", health.metrics, local=True),
        Route("GET", "/client.js", web.show_client, needs=None),
        Route("GET", "/types.d.ts", web.show_types, needs=None),
        Route("POST", "/api/v1/jobs", jobs.submit_jobs, needs=Role.OPERATE, within=True),
        Route("GET", "/api/v1/jobs", jobs.list_jobs, within=True),
        Route("POST", "/api/v1/jobs/bulk", bulk.start_operation, needs=Role.OPERATE, within=True),
        Route("GET", "/api/v1/jobs/{id}", jobs.show_job, within=True),
        Route("DELETE", "/api/v1/jobs/{id}", jobs.delete_job, needs=Role.OPERATE, within=True),
        Route("GET", "/api/v1/jobs/{id}/why", jobs.explain_job, within=True),
        Route("POST", "/api/v1/jobs/{id}/cancel", jobs.cancel_job, needs=Role.OPERATE, within=True),
        Route("POST", "/api/v1/jobs/{id}/retry", jobs.retry_job, needs=Role.OPERATE, within=True),
        Route("POST", "/api/v1/jobs/{id}/pause", jobs.pause_job, needs=Role.OPERATE, within=True),
        Route("POST", "/api/v1/jobs/{id}/resume", jobs.resume_job, needs=Role.OPERATE, within=True),
        Route("GET", "/api/v1/operations", bulk.list_operations, within=True),
        Route("GET", "/api/v1/operations/{id}", bulk.show_operation, within=True),
        Route("POST", "/api/v1/operations/{id}/abort", bulk.abort_operation, needs=Role.OPERATE, within=True),
        Route("GET", "/api/v1/accounts", accounts.list_accounts, within=True),
        Route("GET", "/api/v1/accounts/{id}", accounts.show_account, within=True),
        Route("PUT", "/api/v1/accounts/{id}", accounts.put_account, needs=Role.APP, within=True),
        Route("PATCH", "/api/v1/accounts/{id}", accounts.change_account, needs=Role.OPERATE),
        Route("DELETE", "/api/v1/accounts/{id}", accounts.delete_account, needs=Role.APP, within=True),
        Route("POST", "/api/v1/accounts/{id}/credential", accounts.renew_credential, needs=Role.APP, within=True),
        Route(
            "POST",
            "/api/v1/accounts/{id}/rediscover",
            accounts.rediscover_account,
            needs=Role.OPERATE,
            within=True,
        ),
        Route("GET", "/api/v1/areas", areas.list_areas, within=True),
        Route("GET", "/api/v1/areas/stats", areas.show_area_stats),
        Route("GET", "/api/v1/areas/{origin}/{path}", areas.show_area),
        Route("GET", "/api/v1/users/{id}", users.show_user, within=True),
        Route("GET", "/api/v1/crawlers", crawlers.list_crawlers),
        Route("GET", "/api/v1/crawlers/{id}", crawlers.show_crawler),
        Route("POST", "/api/v1/crawlers/{id}/drain", crawlers.drain_crawler, needs=Role.OPERATE),
        Route("POST", "/api/v1/crawlers/{id}/quarantine", crawlers.quarantine_crawler, needs=Role.OPERATE),
        Route("POST", "/api/v1/crawlers/{id}/release", crawlers.release_crawler, needs=Role.OPERATE),
        Route("POST", "/api/v1/crawlers/{id}/shutdown", crawlers.shut_down_crawler, needs=Role.OPERATE),
        Route("GET", "/api/v1/nodes", crawlers.list_nodes),
        Route("GET", "/api/v1/pauses", restrictions.list_pauses),
        Route("POST", "/api/v1/pauses", restrictions.add_pause, needs=Role.OPERATE),
        Route("GET", "/api/v1/pauses/{id}", restrictions.show_pause),
        Route("DELETE", "/api/v1/pauses/{id}", restrictions.end_pause, needs=Role.OPERATE),
        Route("POST", "/api/v1/queue/pause", restrictions.pause_queue, needs=Role.OPERATE),
        Route("POST", "/api/v1/queue/resume", restrictions.resume_queue, needs=Role.OPERATE),
        Route("GET", "/api/v1/hosts", restrictions.list_hosts),
        Route("GET", "/api/v1/hosts/{origin}", restrictions.show_host),
        Route("PATCH", "/api/v1/hosts/{origin}", restrictions.change_host, needs=Role.OPERATE),
        Route("GET", "/api/v1/budgets", budgets.list_budgets),
        Route("GET", "/api/v1/budgets/{origin}", budgets.show_budget),
        Route("PUT", "/api/v1/budgets", budgets.put_budget, needs=Role.OPERATE),
        Route("DELETE", "/api/v1/budgets", budgets.forget_budget, needs=Role.OPERATE),
        Route("GET", "/api/v1/errors", errors.list_errors),
        Route("GET", "/api/v1/errors/{fingerprint}", errors.show_errors),
        Route("POST", "/api/v1/errors/{fingerprint}/retry", errors.retry_errors, needs=Role.OPERATE),
        Route("POST", "/api/v1/errors/{fingerprint}/ignore", errors.ignore_errors, needs=Role.OPERATE),
        Route("DELETE", "/api/v1/errors/{fingerprint}/ignore", errors.heed_errors, needs=Role.OPERATE),
        Route("GET", "/api/v1/audit", audit.list_acts, needs=Role.OPERATE),
        Route("GET", "/api/v1/overview", overview.show_overview),
        Route("GET", "/api/v1/settings", settings.show_settings, needs=Role.OPERATE),
        Route("GET", "/api/v1/stats", stats.show_stats, within=True),
        Route("GET", "/api/v1/stats/history", stats.show_history),
        Route("GET", "/api/v1/events", events.watch_events, within=True),
        Route("GET", "/api/v1/tokens", tokens.list_tokens, needs=Role.ADMIN),
        Route("POST", "/api/v1/tokens", tokens.add_token, needs=Role.ADMIN),
        Route("DELETE", "/api/v1/tokens/{name}", tokens.revoke_token, needs=Role.ADMIN),
        Route("GET", "/api/v1/webhooks", webhooks.list_webhooks, needs=Role.ADMIN),
        Route("POST", "/api/v1/webhooks", webhooks.add_webhook, needs=Role.ADMIN),
        Route("GET", "/api/v1/webhooks/{id}", webhooks.show_webhook, needs=Role.ADMIN),
        Route("PATCH", "/api/v1/webhooks/{id}", webhooks.change_webhook, needs=Role.ADMIN),
        Route("DELETE", "/api/v1/webhooks/{id}", webhooks.remove_webhook, needs=Role.ADMIN),
        Route("POST", "/api/v1/webhooks/{id}/rotate", webhooks.rotate_secret, needs=Role.ADMIN),
        Route("POST", "/api/v1/webhooks/{id}/test", webhooks.test_webhook, needs=Role.ADMIN),
        Route("GET", "/api/v1/webhooks/{id}/deliveries", webhooks.list_deliveries, needs=Role.ADMIN),
        Route(
            "POST",
            "/api/v1/webhooks/{id}/deliveries/{delivery}/retry",
            webhooks.retry_delivery,
            needs=Role.ADMIN,
        ),
        Route("GET", "/api/v1/session", tokens.show_session, within=True, personal=True),
        Route("POST", "/api/v1/session", tokens.start_session, within=True, by_code=True),
        Route("POST", "/api/v1/session/links", tokens.make_link, within=True),
        Route("DELETE", "/api/v1/session", tokens.end_session, within=True),
        Route("GET", "/api/v1/openapi.json", description.show_description, within=True),
    )
    return table
