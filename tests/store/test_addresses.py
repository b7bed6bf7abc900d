"""The addresses of a DSN."""

import socket
from threading import Event

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.store import addresses
from copilot_socket.store.addresses import Addresses, hosts, needs_lookup


class HostsTests(SynchronousTestCase):
    """hosts() and needs_lookup()."""

    def setUp(self) -> None:
        self.patch(addresses.os, "environ", {})

    def test_what_a_dsn_names(self) -> None:
        """Hosts and ports are paired; a single port is used with all hosts; missing parameters are left to libpq."""
        for dsn, expected in (
            ("postgresql:///db", [{}]),
            ("postgresql://u@a/db", [{"host": "a"}]),
            ("postgresql://a:1,b:2/db", [{"host": "a", "port": "1"}, {"host": "b", "port": "2"}]),
            ("postgresql://a,b/db?port=7", [{"host": "a", "port": "7"}, {"host": "b", "port": "7"}]),
            ("postgresql:///db?host=/run/x,/run/y", [{"host": "/run/x"}, {"host": "/run/y"}]),
            ("postgresql://a/db?hostaddr=10.0.0.1", [{"host": "a", "hostaddr": "10.0.0.1"}]),
            ("postgresql:///db?hostaddr=10.0.0.1,::1", [{"hostaddr": "10.0.0.1"}, {"hostaddr": "::1"}]),
        ):
            self.assertEqual(hosts(dsn), expected, dsn)

    def test_the_environment_of_libpq(self) -> None:
        """It supplies parameters that the DSN lacks."""
        addresses.os.environ.update(PGHOST="a,b", PGPORT="1,2")
        self.assertEqual(hosts("postgresql:///db"), [{"host": "a", "port": "1"}, {"host": "b", "port": "2"}])
        self.assertEqual(hosts("postgresql://c:3/db"), [{"host": "c", "port": "3"}])

    def test_only_names_are_looked_up(self) -> None:
        """Host names need a look-up; addresses and directories do not."""
        looked_up = [
            host for host in ("", "/run/x", "@x", "10.0.0.1", "::1", "localhost", "db") if needs_lookup(host)
        ]
        self.assertEqual(looked_up, ["localhost", "db"])


class LookUpTests(TestCase):
    """Addresses.find()."""

    async def test_every_address_in_order(self) -> None:
        """A name may have several addresses; each keeps the host name, which certificates are checked by."""
        self.patch(addresses, "_addresses_of", lambda name: {"a": ["::1", "127.0.0.1"], "b": ["10.0.0.9"]}[name])
        self.assertEqual(
            await Addresses("postgresql://a:1,10.0.0.5:2,b:3/db").find(),
            [
                {"host": "a", "port": "1", "hostaddr": "::1"},
                {"host": "a", "port": "1", "hostaddr": "127.0.0.1"},
                {"host": "10.0.0.5", "port": "2"},
                {"host": "b", "port": "3", "hostaddr": "10.0.0.9"},
            ],
        )

    async def test_a_resolver_that_is_silent(self) -> None:
        """Concurrent look-ups share one thread and may be cancelled; the reactor is not blocked."""
        answers, asked = Event(), []

        def silent(name: str) -> list[str]:
            asked.append(name)
            answers.wait(10)
            return ["127.0.0.1"]

        self.patch(addresses, "_addresses_of", silent)
        several = Addresses("postgresql://db/x")
        first, *others = [Deferred.fromCoroutine(several.find()) for _ in range(5)]
        first.cancel()
        await self.assertFailure(first, CancelledError)
        answers.set()
        found = await gatherResults(others).addTimeout(10, reactor)
        self.assertEqual(found, [[{"host": "db", "hostaddr": "127.0.0.1"}]] * 4)
        self.assertEqual(asked, ["db"])

    async def test_a_name_without_an_address(self) -> None:
        """A name without addresses is skipped; without any address the error names the reason."""

        def unknown(name: str, *_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        self.patch(addresses.socket, "getaddrinfo", unknown)
        self.assertEqual(
            await Addresses("postgresql://nope:1,10.0.0.5:2/db").find(), [{"host": "10.0.0.5", "port": "2"}]
        )
        error = await self.assertFailure(Deferred.fromCoroutine(Addresses("postgresql://nope/db").find()), OSError)
        self.assertEqual(str(error), 'could not translate host name "nope" to address: Name or service not known')
