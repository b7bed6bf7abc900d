"""The HTTP port of a node, for commands that go by it."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import attrs

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.output import emit, say
from copilot_socket.config import ConfigFaults, from_environment
from copilot_socket.core.printing import printable

TIMEOUT = 60.0
_REDIRECTIONS = range(300, 400)


class Refused(CommandError):
    """The node can't be reached (*status* None) or said no; *document* is what it answered."""

    def __init__(self, text: str, document: Any = None, status: int | None = None) -> None:
        super().__init__(text)
        self.document = document
        self.status = status


class _NoRedirection(HTTPRedirectHandler):
    """Has an answer that leads elsewhere count as an error."""

    def redirect_request(self, *_args: Any) -> None:
        """Go nowhere."""


@attrs.frozen
class Node:
    """The HTTP port of a node at *url*, with the bearer *token* if it has one. Blocks."""

    url: str
    token: str | None = attrs.field(default=None, repr=False)

    def ask(self, method: str, path: str, document: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON that comes back. Raises :class:`Refused`."""
        try:
            with self._open(method, path, document, headers or {}, TIMEOUT) as answer:
                return json.load(answer)
        except (HTTPException, OSError, ValueError) as error:
            raise self._no_answer(error) from None

    def stream(self, path: str, timeout: float) -> HTTPResponse:
        """An answer that goes on; a silence of *timeout* seconds ends it. Raises :class:`Refused`."""
        return self._open("GET", path, None, {}, timeout)

    def _open(
        self, method: str, path: str, document: Any, headers: Mapping[str, str], timeout: float
    ) -> HTTPResponse:
        try:
            request = self._request(method, path, document, headers)
            # No proxy: it would make a loopback request a stranger's. No redirection: it would take the token along.
            opener = build_opener(ProxyHandler({}), _NoRedirection)
            return cast(HTTPResponse, opener.open(request, timeout=timeout))
        except HTTPError as error:
            raise _refusal(error) from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> Refused:
        reason = getattr(error, "reason", error)
        return Refused(f"no answer from {self.url}: {reason}. Is a node running there? (--url)")

    def _request(self, method: str, path: str, document: Any, headers: Mapping[str, str]) -> Request:
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
        return Refused(
            f"HTTP {error.code}: {elsewhere} should be asked instead, which is not done: set --url", None, 400
        )
    try:
        document = json.load(error)
        lines = [f"{document['title']}: {document['detail']}"]
        lines += [f"  {fault['path'] or '/'}: {fault['message']}" for fault in document.get("errors", [])]
        lines = list(map(printable, lines))
    except (ValueError, KeyError, TypeError):
        return Refused(f"HTTP {error.code} {error.reason}", status=error.code)
    return Refused("\n".join(lines), document, error.code)


def add_url_option(parser: argparse.ArgumentParser) -> None:
    """`--url`, which :func:`node_from` reads."""
    parser.add_argument("--url", help="address of the node's HTTP port (default: from the configuration)")


def node_from(args: argparse.Namespace) -> Node:
    """The node that *args* name, or else the configuration. Raises ConfigFaults."""
    if args.url is not None:
        return Node(args.url, _token())
    config = from_environment()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http_host, config.http_host)
    return Node(f"http://{f'[{host}]' if ':' in host else host}:{config.http_port}", config.http_token)


def _token() -> str | None:
    """The token alone: whoever names another node need not have a configuration that one could run on."""
    try:
        return from_environment().http_token
    except ConfigFaults as error:
        of_token = [fault for fault in error.faults if fault.variable.startswith("COPILOT_HTTP_TOKEN")]
        if of_token or error.usable is None:
            raise ConfigFaults(of_token or error.faults) from None
        return error.usable.http_token


def tell(args: argparse.Namespace, ask: Callable[[Node], Any], lines: Callable[[Any], Sequence[str]]) -> int:
    """*ask* the node and show its answer, in *lines* or as JSON; the exit status.

    Raises CommandError and ConfigFaults; a refusal is shown as the node put it where JSON is asked for.
    """
    as_json = getattr(args, "json", False)
    try:
        answer = ask(node_from(args))
    except Refused as error:
        if not as_json or error.document is None:
            raise
        emit(error.document)
        return 1
    if as_json:
        emit(answer)
    else:
        for line in lines(answer):
            say(line)
    return 0
