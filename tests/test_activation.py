"""Which inherited descriptors a node accepts, and its errors for others."""

import os
import shutil
import socket

from twisted.internet.endpoints import _SystemdParser
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket import activation
from copilot_socket.activation import Inherited, inherited
from copilot_socket.wire.listening import SocketError
from tests.support.server import short_directory
from tests.support.service_manager import listening


class InheritedTests(SynchronousTestCase):
    """One descriptor at a time; whole nodes that inherit some are in tests.e2e."""

    def setUp(self) -> None:
        """A place for sockets."""
        self.directory = short_directory()
        self.addCleanup(shutil.rmtree, self.directory)

    def inherit(self, descriptor: int, name: str = "crawlers", **more: str) -> Inherited:
        """The result for *descriptor*."""
        self.patch(activation, "FIRST_DESCRIPTOR", descriptor)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": name, **more}
        found = inherited(environ)
        self.addCleanup(lambda: [each.close() for each in (found.crawlers, found.http) if each is not None])
        self.assertEqual(environ, {}, "what announced the descriptors is left for others to take them again")
        return found

    def unix(self) -> int:
        """A descriptor of a listening UNIX socket, owned by the caller."""
        return listening(self.directory / "s").detach()

    def tcp(self) -> int:
        """The same of a TCP socket."""
        made = socket.create_server(("127.0.0.1", 0))
        return made.detach()

    def test_crawlers(self) -> None:
        """A UNIX socket is for crawlers, whatever it is called, and if it has no name at all."""
        for name in ("crawlers", "copilot-socket.socket", ""):
            found = self.inherit(self.unix(), name)
            assert found.crawlers is not None
            self.assertEqual(found.crawlers.getsockname(), str(self.directory / "s"))
            self.assertIsNone(found.http)
            (self.directory / "s").unlink()

    def test_http(self) -> None:
        """A TCP socket named http is the HTTP port."""
        found = self.inherit(self.tcp(), "http")
        self.assertIsNone(found.crawlers)
        assert found.http is not None

    def test_none(self) -> None:
        """Without a service manager, or with descriptors for another process, there is nothing to take."""
        self.assertEqual(inherited({}), Inherited())
        others = {"LISTEN_PID": str(os.getppid()), "LISTEN_FDS": "1"}
        self.assertEqual(inherited(others), Inherited())
        self.assertEqual(others["LISTEN_FDS"], "1")

    def test_taken_by_twisted(self) -> None:
        """Descriptors that Twisted's endpoints took over on import are found there, once."""
        descriptor = self.unix()
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "crawlers"}
        self.patch(_SystemdParser, "_sddaemon", ListenFDs.fromEnvironment(environ, descriptor))
        found = inherited(environ)
        assert found.crawlers is not None
        self.addCleanup(found.crawlers.close)
        self.assertEqual(found.crawlers.fileno(), descriptor)
        self.assertEqual(environ, {})
        self.assertEqual(inherited(environ), Inherited())

    def test_misfits(self) -> None:
        """Descriptors that a node can't serve are refused, with a remedy."""
        file = os.open(self.directory, os.O_RDONLY)
        self.addCleanup(os.close, file)
        for descriptor, name, said in (
            (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach(), "crawlers", "ListenStream="),
            (socket.socket(socket.AF_UNIX).detach(), "crawlers", "ListenStream="),
            (file, "crawlers", "no socket"),
            (self.tcp(), "crawlers", "FileDescriptorName=http"),
            (self.unix(), "http", "no TCP socket"),
        ):
            error = self.assertRaises(SocketError, self.inherit, descriptor, name)
            self.assertIn(said, str(error))
            self.assertIn(f"inherited descriptor {descriptor} ({name})", str(error))

    def test_announcement(self) -> None:
        """An invalid announcement is reported with variable, value and allowed values."""
        for variable, value, allowed in (
            ("LISTEN_FDS", "many", "number of inherited descriptors"),
            ("LISTEN_FDNAMES", "crawlers:http", "one name for each of the 1"),
        ):
            error = self.assertRaises(SocketError, self.inherit, 0, **{variable: value})
            self.assertIn(f"{variable} is '{value}': allowed is", str(error))
            self.assertIn(allowed, str(error))
