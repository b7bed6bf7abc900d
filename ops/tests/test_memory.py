"""The memory limits that are shipped leave room for what a node may take."""

import re

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config import load
from copilot_socket.memory import KIB, MIB, most
from ops.tests.support import OPS

PRODUCTION = load({"COPILOT_ENV": "production"}, {}, {}, uid=1000)
SLACK = 1.5
"""What Python's allocator may hold on to beyond what is in use."""
SOCKET_BUFFER = 208 * KIB
"""``net.core.wmem_default``, which counts to a control group."""


class LimitTests(SynchronousTestCase):
    """With production's defaults."""

    def limit(self, path: str, pattern: str) -> int:
        """The limit in MiB that *pattern* finds in a file of ``ops/``, in bytes."""
        [found] = re.findall(pattern, (OPS / path).read_text(), re.MULTILINE)
        return int(found) * MIB

    def test_systemd(self) -> None:
        """The unit is throttled only beyond what is allowed, and killed only beyond what the kernel adds."""
        unit = "systemd/copilot-socket.service"
        self.assertGreater(self.limit(unit, r"^MemoryHigh=(\d+)M$"), most(PRODUCTION))
        sockets = PRODUCTION.max_connections * SOCKET_BUFFER
        self.assertGreater(self.limit(unit, r"^MemoryMax=(\d+)M$"), SLACK * most(PRODUCTION) + sockets)

    def test_docker(self) -> None:
        """So is the container."""
        sockets = PRODUCTION.max_connections * SOCKET_BUFFER
        limit = self.limit("docker/compose.yml", r"^    mem_limit: (\d+)m$")
        self.assertGreater(limit, SLACK * most(PRODUCTION) + sockets)

    def test_pm2(self) -> None:
        """PM2 looks at the process alone."""
        limit = self.limit("pm2/ecosystem.config.js", r'^ +max_memory_restart: "(\d+)M",$')
        self.assertGreater(limit, SLACK * most(PRODUCTION))
