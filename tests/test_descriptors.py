"""How descriptors are shared out."""

import os
import resource

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket import descriptors
from copilot_socket.config import Config, ConfigFaults, load
from copilot_socket.descriptors import Shares, needed, shares, shortage


def config(connections: int = 100, pool: int = 5) -> Config:
    """A configuration with that many connections."""
    given = {"SOCKET_MAX_CONNECTIONS": str(connections), "DATABASE_CONNECTION_POOL": str(pool)}
    return load({"HOME": "/home/x", **given}, {}, {}, uid=os.geteuid())


class SharesTests(SynchronousTestCase):
    """What a limit leaves room for."""

    def test_enough(self) -> None:
        """Where there are as many as are needed, nothing is lessened and nothing is said."""
        for connections in (1, 100, 1000, 100_000):
            wanted = config(connections)
            granted = shares(wanted, needed(wanted))
            self.assertEqual(granted, Shares(connections))
            self.assertIsNone(shortage(wanted, needed(wanted), granted))

    def test_less(self) -> None:
        """First HTTP and refusals get less, down to a few, and only then crawlers; then it is said, with numbers."""
        wanted = config(100)
        self.assertEqual(shares(wanted, 256).crawlers, 100)
        self.assertGreater(shares(wanted, 256).http, descriptors.HTTP_AT_LEAST)
        granted = shares(wanted, 100)
        self.assertLess(granted.crawlers, 100)
        said = shortage(wanted, 100, granted) or ""
        for words in ("is 100,", "SOCKET_MAX_CONNECTIONS=100", f"most {granted.crawlers} ", f"to {needed(wanted)} "):
            self.assertIn(words, said)

    @given(st.integers(0, 5000), st.integers(1, 3000), st.integers(1, 150))
    def test_it_fits(self, limit: int, connections: int, pool: int) -> None:
        """Whatever the limit, all fits into it and there is something of everything, or it is refused."""
        wanted = config(connections, pool)
        own = needed(wanted) - connections - descriptors.MAX_REFUSED - descriptors.MAX_CONNECTIONS
        try:
            granted = shares(wanted, limit)
        except ConfigFaults as faults:
            self.assertLess(limit, own + descriptors.LEAST)
            for number in (limit, own + descriptors.LEAST, needed(wanted), connections, pool):
                self.assertIn(str(number), str(faults))
            return
        self.assertLessEqual(own + granted.crawlers + granted.refused + granted.http, limit)
        self.assertLessEqual(granted.crawlers, connections)
        self.assertGreaterEqual(min(granted.crawlers, granted.refused, granted.http), 1)

    def test_raised(self) -> None:
        """The soft limit is raised as far as the hard one allows, and a sandbox that forbids it is respected."""
        asked: list[tuple[int, tuple[int, int]]] = []
        self.patch(resource, "setrlimit", lambda which, pair: asked.append((which, pair)))
        for soft, hard, raised in ((64, 4096, 4096), (4096, 4096, 4096), (1024, resource.RLIM_INFINITY, 2**20)):
            self.patch(resource, "getrlimit", lambda _, pair=(soft, hard): pair)
            asked.clear()
            self.assertEqual(descriptors.raise_limit(), raised)
            self.assertEqual(asked, [] if soft == hard else [(resource.RLIMIT_NOFILE, (raised, hard))])

        def refuse(*_args: object) -> None:
            raise PermissionError

        self.patch(resource, "setrlimit", refuse)
        self.patch(resource, "getrlimit", lambda _: (64, 4096))
        self.assertEqual(descriptors.raise_limit(), 64)
