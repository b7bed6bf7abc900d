"""The HTTP port: routes, access, and error responses."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

from urllib.parse import parse_qsl

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Site

from copilot_socket.core.preconditions import PreconditionFailed
from copilot_socket.http.channel import REQUEST_TIMEOUT, Channel, Connections
from copilot_socket.http.compression import Compressor
from copilot_socket.http.conditions import failed, tagged
from copilot_socket.http.dashboard import dashboard
from copilot_socket.http.gate import Gate, RequestHead
from copilot_socket.http.idempotency import key_in
from copilot_socket.http.messages import Call, ClientGone, OutOfScope, Problem, Reply, Streaming, invalid
from copilot_socket.http.origins import Origins
from copilot_socket.http.queries import BAD_CURSOR
from copilot_socket.http.requests import Request
from copilot_socket.http.routes import Found, Route, find
from copilot_socket.http.shared_answers import SharedAnswers, max_age
from copilot_socket.http.shares import MAX_ANSWERS, MAX_BODIES, Budget, Share
from copilot_socket.http.table import Parts, routes
from copilot_socket.http.targets import Target, target
from copilot_socket.store.faults import DATABASE_ERRORS, Remedy, broken_check, remedy
from copilot_socket.store.listing import BadCursor, TooSlow
from copilot_socket.store.outage import level

MAX_PARAMETERS = 50
_NO_PROBLEM = Problem(500, "A route was found")


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
        self._shared = SharedAnswers(parts.reactor.seconds)
        self._dashboard = dashboard()
        self._routes = (*routes(parts), *self._dashboard.routes())
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
        requested, found, missing = self._found(method, request.uri.decode("latin-1"))
        visitor = self._gate.at(self._gate.visitor(head), found and found[0])
        request.channel.known = visitor.grant is not None
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
        if found is None and method in ("GET", "HEAD"):
            page = self._dashboard.no_page(requested.path, head.one("accept") or "")
            if page is not None:
                return page
        # Without access, unknown paths must look like existing ones.
        self._gate.admit(head, visitor, found and found[0])
        if found is None:
            raise missing
        route, params = found
        call = request.call(
            params,
            () if route.file else _parameters(requested.query),
            visitor,
            lambda: self._gate.visitor(head).grant == visitor.grant,
        )
        try:
            key = key_in(head) if route.method == "POST" else None
            if key is not None:
                line = f"{method} {request.uri.decode('latin-1')}"
                return await self._idempotency.answer(call, key, line, route.handler)
            answer = await self._read(route, requested, call)
        except OutOfScope as problem:
            raise self._gate.out_of_scope(head, visitor, route, problem) from None
        return tagged(call, answer) if route.single else answer

    async def _read(self, route: Route, requested: Target, call: Call) -> Reply | Streaming:
        age = max_age(call.headers.get("cache-control"))
        if not route.shared or not age:
            return await route.handler(call)
        # A limited token sees operations of its own only, unlike another one with the same limits.
        key = requested.path, requested.query, call.within and (call.within, call.actor.name)
        shared = self._shared.find(key, age)
        if shared is None:
            began = self.reactor.seconds()
            answer = await route.handler(call)
            if isinstance(answer, Reply):
                self._shared.keep(key, began, answer)
            return answer
        return shared

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
