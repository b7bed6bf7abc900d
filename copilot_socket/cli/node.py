"""A blocking client of a node's HTTP port, for commands."""

import json
import socket
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import attrs

from copilot_socket.cli.errors import CommandError
from copilot_socket.config import Config, ConfigFaults, from_environment
from copilot_socket.core.printing import printable
from copilot_socket.http.own_token import SOCKET

TIMEOUT = 60.0
_REDIRECTIONS = range(300, 400)
_OTHERS_WRITE = 0o022
_TOKEN = (
    "set COPILOT_HTTP_TOKEN, or call it as the node's user or root on its machine, who need no token, with the node's"
    " COPILOT_STATE_DIR"
)


class Refused(CommandError):
    """The node can't be reached (*status* None) or refused a request; *document* is the body of its response."""

    def __init__(self, text: str, document: Any = None, status: int | None = None) -> None:
        super().__init__(text)
        self.document = document
        self.status = status


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


@attrs.frozen
class Node:
    """The HTTP port of a node at *url*, with the bearer *token* if it has one, or behind a UNIX *socket*. Blocks.

    Redirections are not followed, which would leak the token, and no proxy is used, which would hide the address.
    """

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
        body = None if document is None else json.dumps(document).encode()
        given = {**headers, "Connection": "close"}
        if body is not None:
            given["Content-Type"] = "application/json"
        if self.token is not None:
            given["Authorization"] = f"Bearer {self.token}"
        try:
            connection, prefix = self._connection(timeout)
            connection.request(method, prefix + path, body, given)
            answer = connection.getresponse()
        except (HTTPException, OSError, ValueError) as error:
            raise self._no_answer(error) from None
        if answer.status >= _REDIRECTIONS.start:
            with answer:
                raise _refusal(answer)
        return answer

    def _no_answer(self, error: Exception) -> Refused:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        return Refused(f"no answer from {self.socket or self.url}: {reason}. Is a node running there? (--url)")

    def _connection(self, timeout: float) -> tuple[HTTPConnection, str]:
        """A connection, and what stands before each path. Raises ValueError for a wrong URL."""
        if self.socket is not None:
            return _LocalConnection(self.socket, timeout), ""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http or https URL")
        kind = HTTPConnection if parts.scheme == "http" else HTTPSConnection
        return kind(parts.hostname, _port(parts), timeout=timeout), parts.path.rstrip("/")


def _port(parts: SplitResult) -> int:
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def _refusal(answer: HTTPResponse) -> Refused:
    if answer.status in _REDIRECTIONS:
        elsewhere = printable(answer.headers.get("Location", "another address"))
        return Refused(
            f"HTTP {answer.status}: redirected to {elsewhere}, which is not followed: set --url", None, 400
        )
    try:
        document = json.load(answer)
        if "detail" not in document and "error" in document:  # of /health
            return Refused(printable(str(document["error"])), document, answer.status)
        lines = [f"{document['title']}: {document['detail']}"]
        lines += [_TOKEN] if answer.status == HTTPStatus.UNAUTHORIZED else []
        lines += [f"  {fault['path'] or '/'}: {fault['message']}" for fault in document.get("errors", [])]
        lines = list(map(printable, lines))
    except (ValueError, KeyError, TypeError, HTTPException, OSError):
        return Refused(f"HTTP {answer.status} {answer.reason}", status=answer.status)
    return Refused("\n".join(lines), document, answer.status)


def add_url_option(parser: ArgumentParser) -> None:
    """Add `--url`, which :func:`node_from` reads."""
    parser.add_argument(
        "--url", metavar="URL", help="address of the node's HTTP port (default: that of the node on this machine)"
    )


def node_from(args: Namespace) -> Node:
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
    return Node(address_here(config.http_host, config.http_port), config.http_token)


def address_here(listens: str, port: int) -> str:
    """The URL, for programs on this machine, of a port at the address *listens*."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listens, listens)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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
