"""`copilot-socket seed`: stores a first account and its first jobs directly in the database; safe to repeat.

Tokens are not options: every user of the machine can read command lines.
"""

from argparse import Namespace
from collections.abc import Mapping

from copilot_socket.cli.acts import act
from copilot_socket.cli.arguments import SEED_OPTIONS, SEED_SECRETS
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.offline import ready_database, vault
from copilot_socket.cli.options import config_from, options_given
from copilot_socket.cli.output import emit, say
from copilot_socket.config import Config, further_variables
from copilot_socket.http.bodies import AccountBody
from copilot_socket.http.checks import text
from copilot_socket.http.fields import Field, fields_of, read
from copilot_socket.http.messages import Faults
from copilot_socket.store.accounts import Account
from copilot_socket.store.seeding import seed

_VARIABLES = {name: variable for name, (variable, _) in SEED_OPTIONS.items()} | SEED_SECRETS
DEMO = {
    "account_id": "demo",
    "provider": "gitlab-onprem",
    "gitlab_url": "http://gitlab.example.org",
    "access_token": "made-up-token",
}
"""The account that is stored in development and test if none is given."""
FIRST_COMMANDS = ("GROUP_PROJECT_DISCOVERY", "users")
"""Commands without a path; the first one discovers groups and projects."""


def run(args: Namespace) -> int:
    """Store account and jobs, print what is new. Raises CommandError, ConfigFaults, SchemaError, EmbeddedError."""
    config = config_from(args)
    account = _account(_given(args) or _demo(config))
    with ready_database(config) as url:
        try:
            seeded = seed(url, account, FIRST_COMMANDS, config.retry_attempts, vault(config), act("seed"))
        except ValueError as error:
            raise CommandError(str(error)) from None
    if args.json:
        emit({"account": account.id, "account_created": seeded.account_created, "jobs": list(seeded.jobs)})
    else:
        say(f"account {account.id}: {'created' if seeded.account_created else 'exists, unchanged'}")
        for job_id in seeded.jobs:
            say(f"job {job_id}: created")
        if not seeded.jobs:
            say("jobs: none added, the account has some")
    return 0


def _given(args: Namespace) -> dict[str, str]:
    """The given fields of the account. An option overrides its variable; an empty value counts as unset."""
    options = {variable: getattr(args, f"seed_{name}") or "" for name, (variable, _) in SEED_OPTIONS.items()}
    found = further_variables(_VARIABLES.values(), SEED_SECRETS.values(), options_given(args) | options)
    return {name: found[variable] for name, variable in _VARIABLES.items() if variable in found}


def _demo(config: Config) -> dict[str, str]:
    if config.environment == "production":
        needed = ", ".join([SEED_OPTIONS[name][0] for name in ("account_id", "provider", "gitlab_url")])
        raise CommandError(
            f"no account given, and production has no default one: set {needed} and {SEED_SECRETS['access_token']}"
        )
    return DEMO


def _account(given: Mapping[str, str]) -> Account:
    """The account, validated as by the HTTP port. Raises CommandError that lists every fault by its variable."""
    faults = Faults()
    values = read(dict(given), {"account_id": Field(text(255), required=True), **fields_of(AccountBody)}, "", faults)
    if faults.count:
        raise CommandError("\n".join(f"{_VARIABLES[fault.path[1:]]} {fault.message}" for fault in faults.listed))
    account_id = values.pop("account_id")
    body = AccountBody(**values)
    return Account(account_id, body.provider, body.gitlab_url, body.credential)
