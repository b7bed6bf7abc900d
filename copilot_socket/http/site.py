"""The HTTP port: routes, access, and error responses."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

import time
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl

import attrs
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Site

from copilot_socket.core.access import Role
from copilot_socket.core.preconditions import PreconditionFailed
from copilot_socket.event_bus import EventBus
from copilot_socket.http.access import Access
from copilot_socket.http.account_handlers import AccountHandlers
from copilot_socket.http.area_handlers import AreaHandlers
from copilot_socket.http.audit_handlers import AuditHandlers
from copilot_socket.http.budget_handlers import BudgetHandlers
from copilot_socket.http.bulk_handlers import BulkHandlers
from copilot_socket.http.catalog_handlers import CatalogHandlers
from copilot_socket.http.channel import MAX_CONNECTIONS, REQUEST_TIMEOUT, Channel, Connections
from copilot_socket.http.compression import Compressor
from copilot_socket.http.conditions import failed, tagged
from copilot_socket.http.description_handlers import DescriptionHandlers
from copilot_socket.http.endings import Endings
from copilot_socket.http.error_handlers import ErrorHandlers
from copilot_socket.http.event_handlers import EventHandlers
from copilot_socket.http.feed import Feed
from copilot_socket.http.gate import Gate, RequestHead
from copilot_socket.http.health import Health, HealthHandlers
from copilot_socket.http.idempotency import HEADER, Idempotency
from copilot_socket.http.job_handlers import JobHandlers
from copilot_socket.http.messages import ClientGone, OutOfScope, Problem, Reply, Streaming, invalid
from copilot_socket.http.origins import Origins
from copilot_socket.http.queries import BAD_CURSOR
from copilot_socket.http.requests import Request
from copilot_socket.http.restriction_handlers import RestrictionHandlers
from copilot_socket.http.routes import Found, Route, find
from copilot_socket.http.shares import MAX_ANSWERS, MAX_BODIES, Budget, Share
from copilot_socket.http.slices import Slices
from copilot_socket.http.stats_handlers import StatsHandlers
from copilot_socket.http.targets import Target, target
from copilot_socket.http.token_handlers import TokenHandlers
from copilot_socket.http.user_handlers import UserHandlers
from copilot_socket.http.web_handlers import WebHandlers
from copilot_socket.store.accounts import Accounts
from copilot_socket.store.budgets import BudgetStore
from copilot_socket.store.bulk import BulkOperations
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.errors import ErrorGroups
from copilot_socket.store.faults import DATABASE_ERRORS, Remedy, broken_check, remedy
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.listing import BadCursor, TooSlow
from copilot_socket.store.outage import level
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.submission import Submission
from copilot_socket.store.transitions import Transitions

MAX_PARAMETERS = 50
_NO_PROBLEM = Problem(500, "A route was found")


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
    transitions: Transitions
    idempotency: Idempotency
    bus: EventBus
    feed: Feed
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
    rest = CatalogHandlers(parts.catalog, parts.accounts, parts.restrictions, parts.modes)
    accounts = AccountHandlers(parts.accounts, parts.submission, parts.bus, parts.work_came)
    areas = AreaHandlers(parts.catalog)
    users = UserHandlers(parts.catalog)
    events = EventHandlers(parts.feed)
    tokens = TokenHandlers(parts.access, parts.catalog, parts.time_of_day)
    audit = AuditHandlers(parts.catalog)
    stats = StatsHandlers(parts.catalog, parts.time_of_day)
    errors = ErrorHandlers(parts.errors, parts.bulk, parts.catalog)
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
        Route("GET", "/api/v1/accounts", rest.list_accounts, within=True),
        Route("GET", "/api/v1/accounts/{id}", rest.show_account, within=True),
        Route("PUT", "/api/v1/accounts/{id}", rest.put_account, needs=Role.APP, within=True),
        Route("PATCH", "/api/v1/accounts/{id}", rest.change_account, needs=Role.OPERATE),
        Route("DELETE", "/api/v1/accounts/{id}", accounts.delete_account, needs=Role.APP, within=True),
        Route("POST", "/api/v1/accounts/{id}/credential", rest.renew_credential, needs=Role.APP, within=True),
        Route(
            "POST",
            "/api/v1/accounts/{id}/rediscover",
            accounts.rediscover_account,
            needs=Role.OPERATE,
            within=True,
        ),
        Route("GET", "/api/v1/areas", areas.list_areas, within=True),
        Route("GET", "/api/v1/areas/stats", areas.show_area_stats),
        Route("GET", "/api/v1/users/{id}", users.show_user, within=True),
        Route("GET", "/api/v1/crawlers", rest.list_crawlers),
        Route("POST", "/api/v1/crawlers/{id}/drain", rest.drain_crawler, needs=Role.OPERATE),
        Route("POST", "/api/v1/crawlers/{id}/quarantine", rest.quarantine_crawler, needs=Role.OPERATE),
        Route("POST", "/api/v1/crawlers/{id}/release", rest.release_crawler, needs=Role.OPERATE),
        Route("POST", "/api/v1/crawlers/{id}/shutdown", rest.shut_down_crawler, needs=Role.OPERATE),
        Route("GET", "/api/v1/nodes", rest.list_nodes),
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
        Route("GET", "/api/v1/stats", stats.show_stats, within=True),
        Route("GET", "/api/v1/stats/history", stats.show_history),
        Route("GET", "/api/v1/events", events.watch_events, within=True),
        Route("GET", "/api/v1/tokens", tokens.list_tokens, needs=Role.ADMIN),
        Route("POST", "/api/v1/tokens", tokens.add_token, needs=Role.ADMIN),
        Route("DELETE", "/api/v1/tokens/{name}", tokens.revoke_token, needs=Role.ADMIN),
        Route("GET", "/api/v1/session", tokens.show_session, within=True),
        Route("POST", "/api/v1/session", tokens.start_session, within=True),
        Route("DELETE", "/api/v1/session", tokens.end_session, within=True),
        Route("GET", "/api/v1/openapi.json", description.show_description, within=True),
    )
    return table


def make_site(parts: Parts) -> Site:
    """The factory for the HTTP port."""
    site = _Site(Application(parts))
    site.max_connections = parts.max_connections
    return site


class Application:
    """Routes requests to their handlers and sends the answers."""

    log = Logger()

    def __init__(self, parts: Parts) -> None:
        self.reactor = parts.reactor
        self.slices = parts.slices
        self.time_of_day = parts.time_of_day
        self.bodies = Budget(MAX_BODIES)
        self.answers = Budget(MAX_ANSWERS)
        self.compressor = Compressor()
        self._routes = routes(parts)
        self._methods = ", ".join(sorted({route.method for route in self._routes} | {"HEAD", "OPTIONS"}))
        self._gate = Gate(
            parts.access.book, parts.uids, parts.origins, parts.rate, parts.bus.publish, parts.reactor.seconds
        )
        self._origins = Origins(parts.origins)
        self._idempotency = parts.idempotency

    def answer_share(self) -> Share:
        """A new, empty share of the memory for answers."""
        return Share(self.answers)

    def refuse_early(self, head: RequestHead) -> Problem | None:
        """Check access before the body: public routes take no body, so a request with one needs access."""
        visitor = self._gate.visitor(head)
        try:
            self._gate.count(head, visitor, None)
            self._gate.admit(head, visitor, None)
        except Problem as problem:
            problem.headers = {**problem.headers, **self._origins.headers(head)}
            return problem
        return None

    def answer(self, request: Request) -> None:
        """Call the handler for *request* and send its answer; errors become problem documents."""
        d = Deferred.fromCoroutine(self._answer(request))
        d.addErrback(self._error_reply)
        d.addCallback(lambda reply: Deferred.fromCoroutine(request.reply(reply)))
        d.addErrback(lambda failure: self.log.failure("A response could not be sent", failure))

    async def _answer(self, request: Request) -> Reply | Streaming:
        method = request.method.decode("latin-1")
        head = request.head(method)
        for name, value in self._origins.headers(head).items():
            request.setHeader(name.encode(), value.encode())
        visitor = self._gate.visitor(head)
        request.channel.known = visitor.grant is not None
        requested, found, missing = self._found(method, request.uri.decode("latin-1"))
        self._gate.count(head, visitor, found and found[0])
        preflight = self._origins.preflight(head)
        if preflight is not None:
            return preflight
        if requested is None:
            raise missing
        if requested.path == "*":
            return Reply(204, b"", headers={"Allow": self._methods})
        if requested.host is not None:
            head = attrs.evolve(head, headers={**head.headers, "host": [requested.host]})
        # Without access, unknown paths must look like existing ones.
        self._gate.admit(head, visitor, found and found[0])
        if found is None:
            raise missing
        route, params = found
        call = request.call(
            params,
            _parameters(requested.query),
            visitor,
            lambda: self._gate.visitor(head).grant == visitor.grant,
        )
        try:
            if route.method == "POST" and HEADER in call.headers:
                line = f"{method} {request.uri.decode('latin-1')}"
                return await self._idempotency.answer(call, line, route.handler)
            answer = await route.handler(call)
        except OutOfScope as problem:
            raise self._gate.out_of_scope(head, visitor, route, problem) from None
        return tagged(call, answer) if route.single else answer

    def _found(self, method: str, uri: str) -> tuple[Target | None, Found | None, Problem]:
        """What is requested, unless that can't be read, and its route; and the problem if there is none."""
        requested = None
        try:
            requested = target(method, uri)
            return requested, find(self._routes, method, requested.path), _NO_PROBLEM
        except Problem as problem:
            return requested, None, problem

    def _error_reply(self, failure: Failure) -> Reply:
        error = failure.value
        if isinstance(error, Problem):
            return error.reply()
        if isinstance(error, BadCursor):
            return invalid("?cursor", BAD_CURSOR).reply()
        if isinstance(error, PreconditionFailed):
            return failed(error).reply()
        if isinstance(error, TooSlow):
            return invalid("", str(error)).reply()
        if isinstance(error, ClientGone):  # the reply is discarded
            return Problem(400, "Client closed the connection").reply()
        if isinstance(error, DATABASE_ERRORS) and remedy(error) is not Remedy.REFUSE:
            how_bad = level(error, LogLevel.warn)
            self.log.emit(how_bad, "A request failed, database unavailable: {error}", error=str(error))
            return Problem(503, "Database unavailable; try again later", headers={"Retry-After": "1"}).reply()
        if (broken := broken_check(error)) is not None:
            text = f"Database constraint violated: {broken}"
            return Problem(422, text, errors=[{"path": "", "message": text}]).reply()
        self.log.failure("A request failed", failure)
        return Problem(500, "Internal server error; the server's log has the details").reply()


class _Site(Connections, Site):
    """Twisted's site with this package's requests and connections; has routes instead of a tree of resources."""

    protocol = Channel  # type: ignore[assignment] # Twisted's wrapper only adds HTTP/2

    def __init__(self, application: Application) -> None:
        Connections.__init__(self, application.time_of_day)
        Site.__init__(
            self,
            Resource(),
            requestFactory=self._request,
            parsePOSTFormSubmission=False,
            timeout=REQUEST_TIMEOUT,
            reactor=application.reactor,
        )
        self.application = application

    def _request(self, *args: object, **kwargs: object) -> Request:
        request = Request(*args, **kwargs)
        request.application = self.application
        request.share = Share(self.application.bodies)
        return request

    def log(self, request: http.Request) -> None:
        """Log one line for each request."""
        # Without the query, which may hold what is none of a log's business.
        path = request.uri.decode("latin-1").partition("?")[0]
        method = request.method.decode("latin-1")
        self.application.log.debug("{method} {path} {status}", method=method, path=path, status=request.code)


def _parameters(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise Problem(400, f"Query string must be at most {MAX_PARAMETERS} name=value pairs in UTF-8") from None
