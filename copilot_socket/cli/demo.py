"""``copilot-socket demo``: a whole crawl on this machine, from discovery to the comparison with GitLab."""

import os
import signal
from argparse import Namespace
from types import FrameType
from typing import TextIO, cast

from rich.console import Console

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.output import complain, emit, standard_output
from copilot_socket.demo.display import Silence, for_console
from copilot_socket.demo.outcome import Outcome
from copilot_socket.demo.run import Options, play
from copilot_socket.demo.stage import DemoFailed


def run(args: Namespace) -> int:
    """Run the demo; 0 only if everything was crawled and the killed crawler's job resumed from its cursor."""
    console = Console(file=cast(TextIO, standard_output))
    display = Silence() if args.json else for_console(console)
    options = Options(groups=args.groups, size=args.size, seed=args.seed, keep=args.keep)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    try:
        outcome = play(options, display, os.environ)
    except DemoFailed as error:
        raise CommandError(f"the demo failed: {error}") from None
    if args.json:
        emit(outcome.document())
    else:
        _print(console, outcome)
    return 1 if outcome.faults() else 0


def _print(console: Console, outcome: Outcome) -> None:
    console.print(outcome.table())
    if outcome.loss is not None:
        _say(console, str(outcome.loss))
    done = ", ".join(f"{number} by {crawler}" for crawler, number in outcome.done.items())
    completed = outcome.jobs.get("completed", 0)
    seconds = f"{outcome.seconds:.1f} s"
    _say(console, f"{completed} jobs completed ({done}); tokens refreshed: {outcome.refreshes}; {seconds} in all")
    if outcome.directory:
        _say(console, f"Everything is in {outcome.directory}")
    _say(console, "A node of your own: copilot-socket run; its first account and jobs: copilot-socket seed")
    standard_output.flush()
    for fault in outcome.faults():
        complain(fault)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    """Raise SystemExit, so that all context managers stop what they started."""
    raise SystemExit(128 + number)
