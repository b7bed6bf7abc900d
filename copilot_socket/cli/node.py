"""A blocking client of a node's HTTP port, for commands."""

import argparse
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, ProxyHandler, Request, build_opener

import attrs

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.output import emit, say
from copilot_socket.config import Config, ConfigFaults, from_environment
from copilot_socket.core.printing import printable
from copilot_socket.http.own_token import SOCKET

TIMEOUT = 60.0
_REDIRECTIONS = range(300, 400)
_OTHERS_WRITE = 0o022
_TOKEN = "set COPILOT_HTTP_TOKEN, or call it as the node's user or root on its machine, who need no token"


class Refused(CommandError):
    """The node can't be reached (*status* None) or refused a request; *document* is the body of its response."""

    def __init__(self, text: str, document: Any = None, status: int | None = None) -> None:
        super().__init__(text)
        self.document = document
        self.status = status


class _NoRedirection(HTTPRedirectHandler):
    """Treats a redirection as an error."""

    def redirect_request(self, *_args: Any) -> None:
        """See :class:`urllib.request.HTTPRedirectHandler`."""


class _LocalConnection(HTTPConnection):
    """A connection to a UNIX socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _LocalHandler(HTTPHandler):
    """Sends requests to a UNIX socket, whatever host they name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def http_open(self, request: Request) -> HTTPResponse:
        """See :class:`urllib.request.HTTPHandler`."""
        return self.do_open(lambda _host, timeout, **_: _LocalConnection(self._path, timeout), request)  # type: ignore[arg-type]


@attrs.frozen
class Node:
    """The HTTP port of a node at *url*, with the bearer *token* if it has one, or behind a UNIX *socket*. Blocks."""

    url: str
    token: str | None = attrs.field(default=None, repr=False)
    socket: Path | None = None

    def request(self, method: str, path: str, document: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The body of the response, from JSON. Raises :class:`Refused`."""
        try:
            with self._open(method, path, document, headers or {}, TIMEOUT) as answer:
                return json.load(answer)
        except (HTTPException, OSError, ValueError) as error:
            raise self._no_answer(error) from None

    def stream(self, path: str, timeout: float, headers: Mapping[str, str]) -> HTTPResponse:
        """A streaming response, which fails after *timeout* seconds without data. Raises :class:`Refused`."""
        return self._open("GET", path, None, headers, timeout)

    def _open(
        self, method: str, path: str, document: Any, headers: Mapping[str, str], timeout: float
    ) -> HTTPResponse:
        try:
            request = self._build(method, path, document, headers)
            # A proxy would send requests from another address than loopback; a redirection would leak the token.
            local = [] if self.socket is None else [_LocalHandler(self.socket)]
            opener = build_opener(ProxyHandler({}), _NoRedirection, *local)
            return cast(HTTPResponse, opener.open(request, timeout=timeout))
        except HTTPError as error:
            raise _refusal(error) from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> Refused:
        reason = getattr(error, "reason", error)
        return Refused(f"no answer from {self.socket or self.url}: {reason}. Is a node running there? (--url)")

    def _build(self, method: str, path: str, document: Any, headers: Mapping[str, str]) -> Request:
        if not self.url.lower().startswith(("http://", "https://")):
            raise ValueError("not an http or https URL")
        request = Request(self.url.rstrip("/") + path, method=method, headers=dict(headers))
        if document is not None:
            request.data = json.dumps(document).encode()
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        return request


def _refusal(error: HTTPError) -> Refused:
    if error.code in _REDIRECTIONS:
        elsewhere = error.headers.get("Location", "another address")
        return Refused(f"HTTP {error.code}: redirected to {elsewhere}, which is not followed: set --url", None, 400)
    try:
        document = json.load(error)
        lines = [f"{document['title']}: {document['detail']}"]
        lines += [_TOKEN] if error.code == HTTPStatus.UNAUTHORIZED else []
        lines += [f"  {fault['path'] or '/'}: {fault['message']}" for fault in document.get("errors", [])]
        lines = list(map(printable, lines))
    except (ValueError, KeyError, TypeError):
        return Refused(f"HTTP {error.code} {error.reason}", status=error.code)
    return Refused("\n".join(lines), document, error.code)


def add_url_option(parser: argparse.ArgumentParser) -> None:
    """Add `--url`, which :func:`node_from` reads."""
    parser.add_argument("--url", help="address of the node's HTTP port (default: that of the node on this machine)")


def node_from(args: argparse.Namespace) -> Node:
    """The node at `--url`, or else the one of the configuration, by ``http.sock`` if it serves this user.

    Raises ConfigFaults.
    """
    config = _configuration(whole=args.url is None)
    local = Node("http://localhost", socket=config.state_dir / SOCKET)
    # By TCP nothing shows whose program has the port: the token that the node has made is not for that.
    if args.url is not None:
        alike = config.http_token is None and _is_here(args.url) and _serves(local, urlsplit(args.url).port)
        return local if alike else Node(args.url, config.http_token)
    if _serves(local, config.http_port):
        return local
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http_host, config.http_host)
    return Node(f"http://{f'[{host}]' if ':' in host else host}:{config.http_port}", config.http_token)


def _configuration(*, whole: bool) -> Config:
    """The configuration; unless *whole*, faults matter only where they are the token's. Raises ConfigFaults."""
    try:
        return from_environment()
    except ConfigFaults as error:
        of_token = [fault for fault in error.faults if fault.variable.startswith("COPILOT_HTTP_TOKEN")]
        if whole or of_token or error.usable is None:
            raise ConfigFaults(of_token or error.faults) from None
        return error.usable


def _serves(local: Node, port: int | None) -> bool:
    """Whether *local* answers this user, and has the HTTP port *port*: of several nodes here one has the socket."""
    assert local.socket is not None
    try:
        status = local.socket.parent.stat()
        if status.st_mode & _OTHERS_WRITE:  # anybody could have put the socket there
            return False
        found = local.request("GET", "/health/live").get("http_port")
    except (Refused, OSError):
        return False
    return found is not None and port in (0, found)


def _is_here(url: str) -> bool:
    """Whether *url* leads to this machine."""
    return (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")


def with_query(path: str, fields: Mapping[str, Any]) -> str:
    """*path* with those of *fields* that are not None as its query string."""
    given = {name: value for name, value in fields.items() if value is not None}
    return f"{path}?{urlencode(given, errors='surrogateescape')}" if given else path


def segment(name: str) -> str:
    """*name* as a segment of a path; bytes that are no UTF-8 stay what they are."""
    return quote(name, safe="", errors="surrogateescape")


def print_answer(
    args: argparse.Namespace, request: Callable[[Node], Any], lines: Callable[[Any], Sequence[str]]
) -> int:
    """Call *request* with the node, print its answer as *lines* or, with --json, as JSON; return the exit status.

    With --json, the document of an error response is printed as it is. Raises CommandError and ConfigFaults.
    """
    try:
        answer = request(node_from(args))
    except Refused as error:
        if not args.json or error.document is None:
            raise
        emit(error.document)
        return 1
    if args.json:
        emit(answer)
        return 0
    try:
        shown = list(lines(answer))
    except (KeyError, TypeError, AttributeError) as error:
        raise CommandError(
            f"the answer is none of a node of this version ({type(error).__name__}: {error})"
        ) from None
    for line in shown:
        say(line)
    return 0
