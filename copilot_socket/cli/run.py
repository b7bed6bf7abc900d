"""`copilot-socket run`: a node in the foreground, the same as `twistd -n --pidfile= copilot-socket`.

For installations without `twistd` on the PATH, such as those of pipx and uv.
"""

import sys
from argparse import Namespace
from typing import NoReturn

from copilot_socket.cli.options import options_given
from copilot_socket.config.table import BY_NAME


def run(args: Namespace) -> NoReturn:
    """Run twistd in this process. Raises SystemExit with the node's exit status."""
    from twisted.scripts.twistd import run as twistd  # noqa: PLC0415 - slow to import, not for --help

    options = [f"--{BY_NAME[name].option}={value}" for name, value in options_given(args).items()]
    sys.argv = ["twistd", "-n", "--pidfile=", "copilot-socket", *options]
    twistd()
    raise SystemExit(0)
