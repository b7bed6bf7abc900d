"""``copilot-socket stats``: counts of jobs, of the queue and of crawlers."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.node import add_url_option, print_answer, with_query
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import add_json_option, table

STATS = "/api/v1/stats"


def add_arguments(parser: ArgumentParser) -> None:
    """Whose jobs to count, and options for the node."""
    parser.add_argument("--account-id", metavar="ID", help="count the jobs of this account only")
    parser.add_argument("--user-id", metavar="ID", help="count the jobs of this user only")
    add_url_option(parser)
    add_json_option(parser)
    add_examples(
        parser, "copilot-socket stats", "copilot-socket stats --json", "copilot-socket stats --account-id me"
    )


def run(args: Namespace) -> int:
    """Print the counts and return the exit status. Raises CommandError or ConfigFaults."""
    path = with_query(STATS, {"account_id": args.account_id, "user_id": args.user_id})
    return print_answer(args, lambda node: node.request("GET", path), _shown)


def _shown(answer: Any) -> list[str]:
    rows = [(f"jobs {status}", f"{count:,}") for status, count in answer["jobs"].items()]
    if "queue" not in answer:  # of an account, of a user or for a limited token
        return table(rows)
    queue, crawlers = answer["queue"], answer["crawlers"]
    unroutable = ", ".join(f"{command} {count}" for command, count in sorted(queue["unroutable_commands"].items()))
    rows += [(f"queue {name.replace('_', ' ')}", f"{queue[name]:,}") for name in ("ready", "held_back", "scheduled")]
    rows.append(("queue unroutable", f"{queue['unroutable']:,}" + (f" ({unroutable})" if unroutable else "")))
    rows.append(("queue oldest", f"{queue['oldest_seconds']:,.0f} s"))
    modes = crawlers.pop("modes")
    rows += [(f"crawlers {name}", f"{count:,}") for name, count in {**crawlers, **modes}.items()]
    return table(rows)
