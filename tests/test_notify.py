"""Notifications to the service manager, at a real datagram socket."""

import os
import secrets
import shutil

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from copilot_socket.notify import STATUS_INTERVAL, Notifier, ServiceManager, watchdog_timeout
from tests.support.crawler import in_reactor, until
from tests.support.server import short_directory
from tests.support.service_manager import NotifySocket


@attrs.define
class FakeNode:
    """A node's state, as a test has it."""

    running: bool = False
    summary: str = "starting"


class ServiceManagerTests(TestCase):
    """The messages of a node's life."""

    def setUp(self) -> None:
        """A service manager that listens, and a node."""
        directory = short_directory()
        self.addCleanup(shutil.rmtree, directory)
        self.address = str(directory / "notify")
        self.heard = NotifySocket.at(self.address)
        self.addCleanup(self.heard.close)
        self.clock, self.node = Clock(), FakeNode()

    def started(self, **environ: str) -> ServiceManager:
        """A started ServiceManager."""
        manager = ServiceManager(self.node, self.clock, {"NOTIFY_SOCKET": self.address, **environ})
        manager.startService()
        self.addCleanup(lambda: manager.stopService() if manager.running else None)
        return manager

    async def message(self) -> dict[str, str]:
        """The next message."""
        await until(lambda: self.heard.messages, "the service manager receives a message")
        return self.heard.messages.pop(0)

    @in_reactor()
    async def test_ready(self) -> None:
        """READY comes with the status once the node runs, not before."""
        manager = self.started()
        self.assertEqual(await self.message(), {"STATUS": "starting"})
        self.node.running, self.node.summary = True, "fine"
        manager.notify()
        self.assertEqual(await self.message(), {"READY": "1", "STATUS": "fine"})

    @in_reactor()
    async def test_status(self) -> None:
        """The status is sent periodically."""
        self.node.running = True
        self.started()
        await self.message()
        self.node.summary = "the database is away"
        self.clock.advance(STATUS_INTERVAL)
        self.assertEqual((await self.message())["STATUS"], "the database is away")

    @in_reactor()
    async def test_watchdog(self) -> None:
        """The watchdog is fed each half of its time, and only while the reactor turns."""
        self.started(WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid()))
        await self.message()
        for _ in range(2):
            self.clock.advance(1.5)
            self.assertEqual(await self.message(), {"WATCHDOG": "1"})
        self.clock.advance(1.4)
        self.started()  # whose message comes behind anything that the first one would have said
        self.assertEqual(await self.message(), {"STATUS": "starting"})

    @in_reactor()
    async def test_stopping(self) -> None:
        """STOPPING is sent once, and nothing after it."""
        manager = self.started(WATCHDOG_USEC="1000000")
        await self.message()
        manager.stopService()
        self.assertEqual((await self.message())["STOPPING"], "1")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @in_reactor()
    async def test_reload(self) -> None:
        """RELOADING carries the time of the system's monotonic clock, and READY ends it."""
        self.node.running = True
        manager = self.started()
        await self.message()
        manager.reloading()
        manager.notify()
        begun = await self.message()
        self.assertEqual(begun["RELOADING"], "1")
        self.assertGreater(int(begun["MONOTONIC_USEC"]), 0)
        self.assertEqual((await self.message())["READY"], "1")

    @in_reactor()
    async def test_abstract_socket(self) -> None:
        """A NOTIFY_SOCKET that begins with @ has no file."""
        address = f"@copilot-test-{secrets.token_hex(8)}"
        heard = NotifySocket.at(address)
        self.addCleanup(heard.close)
        Notifier(address).send(READY=1)
        await until(lambda: heard.messages == [{"READY": "1"}], "the message arrives")

    def test_nobody_listens(self) -> None:
        """Without a service manager, or with one that is gone, nothing is raised."""
        for address in ("", "/nonexistent/notify", "vsock:2:1"):
            Notifier(address).send(READY=1)

    def test_watchdog_timeout(self) -> None:
        """Only a watchdog for this process counts."""
        ours, others = str(os.getpid()), str(os.getppid())
        for environ, expected in (
            ({}, None),
            ({"WATCHDOG_USEC": "500000"}, 0.5),
            ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": ours}, 0.5),
            ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": others}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
        ):
            self.assertEqual(watchdog_timeout(environ), expected, environ)
