"""`copilot-socket seed`: stores a first account and its first jobs directly in the database; safe to repeat.

Tokens are not options: every user of the machine can read command lines.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from copilot_socket.cli.acts import act
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.offline import ready_database, vault
from copilot_socket.cli.options import add_config_options, add_examples, config_from, options_given
from copilot_socket.cli.output import add_json_option, emit, say
from copilot_socket.config import Config, further_variables
from copilot_socket.http.bodies import AccountBody
from copilot_socket.http.checks import text
from copilot_socket.http.fields import Field, fields_of, read
from copilot_socket.http.messages import Faults
from copilot_socket.store.accounts import Account
from copilot_socket.store.seeding import seed

OPTIONS = {
    "account_id": ("SEED_ACCOUNT_ID", "name of the account"),
    "provider": ("SEED_PROVIDER", "gitlab-onprem or gitlab-cloud"),
    "gitlab_url": ("SEED_GITLAB_URL", "address of its GitLab"),
    "token_expires_at": ("SEED_TOKEN_EXPIRES_AT", "when the access token expires, ISO-8601 with zone"),
}
"""Field → its variable and help. The option overrides the variable."""
SECRETS = {"access_token": "SEED_ACCESS_TOKEN", "refresh_token": "SEED_REFRESH_TOKEN"}
_VARIABLES = {name: variable for name, (variable, _) in OPTIONS.items()} | SECRETS
DEMO = {
    "account_id": "demo",
    "provider": "gitlab-onprem",
    "gitlab_url": "http://gitlab.example.org",
    "access_token": "made-up-token",
}
"""The account that is stored in development and test if none is given."""
FIRST_COMMANDS = ("GROUP_PROJECT_DISCOVERY", "users")
"""Commands without a path; the first one discovers groups and projects."""


def add_arguments(parser: ArgumentParser) -> None:
    """The account's options, and the configuration's."""
    add_json_option(parser)
    for name, (variable, meaning) in OPTIONS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=f"seed_{name}", metavar="VALUE", help=f"{meaning} (or {variable})"
        )
    add_config_options(parser, taken=("gitlab-url",))
    add_examples(
        parser,
        "copilot-socket seed",
        "copilot-socket seed --account-id me --provider gitlab-cloud --gitlab-url https://gitlab.com",
    )
    parser.description = (
        "Store an account and its first jobs, unless they exist: an existing account is left\n"
        "unchanged, and jobs are added only if it has none. The tokens are read from\n"
        f"{' and '.join(SECRETS.values())}, or from the files named by\n"
        f"{' and '.join(f'{name}_FILE' for name in SECRETS.values())}. With nothing given\n"
        "the account is a made-up one, except in production."
    )


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
    options = {variable: getattr(args, f"seed_{name}") or "" for name, (variable, _) in OPTIONS.items()}
    found = further_variables(_VARIABLES.values(), SECRETS.values(), options_given(args) | options)
    return {name: found[variable] for name, variable in _VARIABLES.items() if variable in found}


def _demo(config: Config) -> dict[str, str]:
    if config.environment == "production":
        needed = ", ".join([OPTIONS[name][0] for name in ("account_id", "provider", "gitlab_url")])
        raise CommandError(
            f"no account given, and production has no default one: set {needed} and {SECRETS['access_token']}"
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
