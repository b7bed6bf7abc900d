"""What a node is made of, by its settings."""

import os
import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config import VARIABLES, Config, load
from copilot_socket.node import Node
from copilot_socket.periodic import periodic_tasks

ENDS: dict[str, dict[str, str]] = {
    "SOCKET_HEARTBEAT_INTERVAL=3600000": {"SOCKET_HEARTBEAT_TIMEOUT": "86400000"},
    "SOCKET_HEARTBEAT_TIMEOUT=50": {"SOCKET_HEARTBEAT_TIMEOUT": "51", "SOCKET_HEARTBEAT_INTERVAL": "50"},
    "SOCKET_QUERY_TIMEOUT=3600000": {"SOCKET_TRANSACTION_TIMEOUT": "3600000"},
    "SOCKET_TRANSACTION_TIMEOUT=100": {"SOCKET_QUERY_TIMEOUT": "100"},
    "SOCKET_MAX_CONCURRENT_JOBS=1000": {"SOCKET_MAX_JOBS_LIMIT": "1000"},
    "SOCKET_PLAIN_JOBS=1000": {"SOCKET_MAX_CONCURRENT_JOBS": "1000", "SOCKET_MAX_JOBS_LIMIT": "1000"},
    "SOCKET_MAX_JOBS_LIMIT=1": {"SOCKET_MAX_CONCURRENT_JOBS": "1"},
}
"""What has to be set as well at the end of a range."""
SHORTEST = {
    **dict.fromkeys(("silence", "stalled connections"), 0.01),
    "live events": 0.02,
    **dict.fromkeys(
        ("lease renewal", "lost requests and claims", "owners of crawlerIds", "release of expired leases"), 0.03
    ),
}
"""Seconds between two rounds of tasks that look at memory only, and of those that the shortest lease asks for."""


def ends() -> list[tuple[str, Config]]:
    """A configuration for each end of each number's range."""
    configs = []
    for variable in VARIABLES:
        found = re.search(r"from ([0-9]+) to ([0-9]+)", variable.parser.allowed)
        for value in found.groups() if found else ():
            end = f"{variable.name}={value}"
            environ = {"HOME": "/home/x", variable.name: value, **ENDS.get(end, {})}
            configs.append((end, load(environ, {}, {}, uid=os.geteuid())))
    return configs


class EndsTests(SynchronousTestCase):
    """Every number at both ends of its range."""

    def test_periodic_tasks(self) -> None:
        """None is done so often that an idle node is busy: at most ten times a second, with a few exceptions."""
        for end, config in ends():
            reactor: Any = Clock()
            node = Node(config, "postgresql://nowhere/", reactor)
            for task in periodic_tasks(config, node._workers()):
                self.assertGreaterEqual(task.interval, SHORTEST.get(task.name, 0.1), f"{end}: {task.name}")
            self.assertEqual(reactor.getDelayedCalls(), [], end)
