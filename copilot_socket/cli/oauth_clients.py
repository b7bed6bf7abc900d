"""`copilot-socket oauth-clients`: the OAuth clients with which this server refreshes tokens.

For GitLabs other than that of GITLAB_URL. Secrets are read from standard input: every user of the machine can read
command lines.
"""

import getpass
import re
import sys
from argparse import Namespace

from copilot_socket.cli.acts import act
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.offline import ready_database, vault
from copilot_socket.cli.options import config_from
from copilot_socket.cli.output import emit, say, screen
from copilot_socket.cli.tables import Column, Kind, table
from copilot_socket.core.origins import origin
from copilot_socket.store import registering
from copilot_socket.store.oauth_clients import OAuthClient

_LONGEST = 8192
_COLUMNS = (Column("origin", Kind.NAME), Column("client_id"), Column("redirect_uri"), Column("has_secret"))
_VISIBLE = re.compile(rf"[!-~]{{1,{_LONGEST}}}")


def run(args: Namespace) -> int:
    """Run the action. Raises CommandError, ConfigFaults, SchemaError or EmbeddedError."""
    config = config_from(args)
    if args.action == "list":
        with ready_database(config) as url:
            _show(registering.listed(url), as_json=args.json)
        return 0
    where = origin(args.gitlab)
    if where is None:
        raise CommandError("URL must be an http or https URL with a host and without user name, query or fragment")
    if args.action == "put":
        client = OAuthClient(_visible(args.client_id, "--client-id"), _secret(), args.redirect_uri)
        with ready_database(config) as url:
            registering.put(url, where, client, vault(config), act("oauth_client.put"))
        _print({"origin": where, "client_id": client.id}, f"{where}: client {client.id} stored", as_json=args.json)
        return 0
    with ready_database(config) as url:
        if not registering.remove(url, where, act("oauth_client.remove")):
            raise CommandError(f"no client for {where}")
    _print({"origin": where, "removed": True}, f"{where}: removed", as_json=args.json)
    return 0


def _secret() -> str | None:
    if sys.stdin.isatty():
        given = getpass.getpass("Secret (empty: a public client): ")
    else:
        given = sys.stdin.read(_LONGEST + 2)
    return _visible(given.strip(), "the secret") if given.strip() else None


def _visible(given: str, what: str) -> str:
    if not _VISIBLE.fullmatch(given):
        raise CommandError(f"{what} must be 1 to {_LONGEST} visible ASCII characters without spaces")
    return given


def _show(clients: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        emit({"oauth_clients": clients})
        return
    for line in (
        table(_COLUMNS, clients, screen()) if clients else ["No OAuth clients (copilot-socket oauth-clients put)"]
    ):
        say(line)


def _print(answer: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        emit(answer)
    else:
        say(text)
