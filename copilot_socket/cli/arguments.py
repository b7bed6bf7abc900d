"""The arguments of commands that work without a node: what these import takes longer than their ``--help`` may."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from copilot_socket.cli.options import add_action, add_config_options, add_examples
from copilot_socket.cli.output import add_json_option

SEED_OPTIONS = {
    "account_id": ("SEED_ACCOUNT_ID", "name of the account"),
    "provider": ("SEED_PROVIDER", "gitlab-onprem or gitlab-cloud"),
    "gitlab_url": ("SEED_GITLAB_URL", "address of its GitLab"),
    "token_expires_at": ("SEED_TOKEN_EXPIRES_AT", "when the access token expires, ISO-8601 with zone"),
}
"""Field of the account → its variable and help. The option overrides the variable."""
SEED_SECRETS = {"access_token": "SEED_ACCESS_TOKEN", "refresh_token": "SEED_REFRESH_TOKEN"}
DEMO_SIZES = ("small", "medium")


def run(parser: ArgumentParser) -> None:
    """The configuration's options."""
    add_config_options(parser)
    add_examples(
        parser,
        "copilot-socket run",
        "copilot-socket run --socket-path /tmp/crawler.sock --copilot-http-port 3001",
    )


def check(parser: ArgumentParser) -> None:
    """The configuration's options."""
    add_json_option(parser)
    add_config_options(parser)
    add_examples(parser, "copilot-socket check", "copilot-socket check --copilot-env production --json")


def migrate(parser: ArgumentParser) -> None:
    """The configuration's options."""
    add_json_option(parser)
    add_config_options(parser)
    add_examples(
        parser,
        "copilot-socket migrate",
        "copilot-socket migrate --database-url postgresql://copilot_owner@db.example.org/copilot",
    )


def cleanup(parser: ArgumentParser) -> None:
    """The configuration's options, including the ages."""
    add_json_option(parser)
    add_config_options(parser)
    add_examples(parser, "copilot-socket cleanup", "copilot-socket cleanup --socket-max-job-age 86400000 --json")


def seed(parser: ArgumentParser) -> None:
    """The account's options, and the configuration's."""
    add_json_option(parser)
    for name, (variable, meaning) in SEED_OPTIONS.items():
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
        f"{' and '.join(SEED_SECRETS.values())}, or from the files named by\n"
        f"{' and '.join(f'{name}_FILE' for name in SEED_SECRETS.values())}. With nothing given\n"
        "the account is a made-up one, except in production."
    )


def demo(parser: ArgumentParser) -> None:
    """The size of the made-up GitLab, and where everything is kept."""
    parser.add_argument("--groups", type=_groups, default=3, metavar="N", help="top-level groups (default: 3)")
    parser.add_argument("--size", choices=DEMO_SIZES, default="small", help="size of each group (default: small)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="random seed of the made-up GitLab (default: 1)"
    )
    parser.add_argument("--keep", type=_new, metavar="DIR", help="work in DIR, which must not exist, and keep it")
    add_json_option(parser)
    add_examples(parser, "copilot-socket demo", "copilot-socket demo --groups 10 --size medium --keep /tmp/demo")


def _groups(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 50:
        raise ArgumentTypeError("from 1 to 50")
    return int(text)


def _new(text: str) -> Path:
    path = Path(text)
    if path.exists():
        raise ArgumentTypeError(f"{text} exists already")
    return path


def keys(parser: ArgumentParser) -> None:
    """`keys new`, `keys rotate` and `keys status`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = add_action(actions, "new", "print a new key")
    new.description = (
        "Print a new key for COPILOT_SECRET_KEY. To change keys, put the new one in front of the old "
        "ones, separated by a comma, restart the nodes, and run `copilot-socket keys rotate`."
    )
    rotate = add_action(actions, "rotate", "encrypt all stored tokens with the newest key")
    rotate.description = (
        "Encrypt all stored tokens, plain ones too, with the newest key, and say whether older keys can "
        "be removed. Nodes may run meanwhile; nothing is changed while one of them encrypts with another key."
    )
    status = add_action(actions, "status", "say which keys are needed, and whether older ones can be removed")
    status.description = (
        "Say which keys the stored tokens need, and which nodes do not encrypt with the newest one. Exit "
        "status 0 if no older key is needed any more."
    )
    for each in (new, rotate, status):
        add_json_option(each)
    for each in (rotate, status):
        add_config_options(each)
    add_examples(new, "copilot-socket keys new")
    add_examples(rotate, "copilot-socket keys rotate")
    add_examples(status, "copilot-socket keys status", "copilot-socket keys status --json")
    add_examples(parser, "copilot-socket keys new", "copilot-socket keys rotate", "copilot-socket keys status")


def oauth_clients(parser: ArgumentParser) -> None:
    """The actions, each with the configuration's options."""
    where = ArgumentParser(add_help=False)
    where.add_argument("gitlab", metavar="URL", help="URL of a GitLab; only scheme, host and port count")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    put = add_action(
        actions, "put", "store a client, with its secret from standard input (empty: a public client)", where
    )
    put.add_argument("--client-id", required=True, metavar="ID", help="the application's id")
    put.add_argument("--redirect-uri", metavar="URI", help="redirect URI, if the application has one")
    listing = add_action(actions, "list", "list the clients, without their secrets")
    remove = add_action(actions, "remove", "remove a client", where)
    for each in (put, listing, remove):
        add_json_option(each)
        add_config_options(each)
    add_examples(put, "copilot-socket oauth-clients put https://gitlab.example.org --client-id abc")
    add_examples(listing, "copilot-socket oauth-clients list --json")
    add_examples(remove, "copilot-socket oauth-clients remove https://gitlab.example.org")
    add_examples(
        parser,
        "copilot-socket oauth-clients put https://gitlab.example.org --client-id abc",
        "copilot-socket oauth-clients list",
    )
