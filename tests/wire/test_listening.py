"""The UNIX socket: found stale or live, and never stolen."""

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.wire.listening import SocketError, listen, probe


def short_directory(test: SynchronousTestCase) -> Path:
    """A directory for *test* with a short name; trial's own are too long for the path of a socket."""
    directory = tempfile.mkdtemp(prefix="copilot-")
    test.addCleanup(shutil.rmtree, directory)
    return Path(directory)


def leave_stale(path: Path) -> None:
    """A socket file whose server has gone."""
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))


class PathTestCase(SynchronousTestCase):
    """With a directory whose name is short enough for a socket."""

    def setUp(self) -> None:
        self.directory = short_directory(self)
        self.path = self.directory / "s"


class ProbeTests(PathTestCase):
    """What is at a path."""

    def test_free(self) -> None:
        """Nothing, nor a directory for it."""
        self.assertEqual(probe(self.path), "free")
        self.assertEqual(probe(self.directory / "missing" / "s"), "free")

    def test_stale(self) -> None:
        """A stale socket."""
        leave_stale(self.path)
        self.assertEqual(probe(self.path), "stale")

    def test_live(self) -> None:
        """A socket with a listener, its backlog full or not."""
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.path))
            listening.listen(0)
            self.assertEqual(probe(self.path), "live")
            with socket.socket(socket.AF_UNIX) as filling:
                filling.connect(str(self.path))
                self.assertEqual(probe(self.path), "live")

    def test_nobody_notices(self) -> None:
        """Whoever listens gets no connection by being looked at, and one that only begins to listen is live."""
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.path))
            self.assertEqual(probe(self.path), "live")
            listening.listen()
            listening.setblocking(False)
            self.assertEqual(probe(self.path), "live")
            self.assertRaises(BlockingIOError, listening.accept)

    def test_other(self) -> None:
        """A file, a directory, a link to a socket: not ours to judge."""
        leave_stale(self.path)
        link = self.directory / "link"
        link.symlink_to(self.path)
        self.assertEqual(probe(link), "other")
        self.assertEqual(probe(self.directory), "other")
        self.path.unlink()
        self.path.write_text("precious")
        self.assertEqual(probe(self.path), "other")


class ListenTests(TestCase):
    """listen() on the real reactor."""

    def setUp(self) -> None:
        self.directory = short_directory(self) / "d"
        self.path = self.directory / "s"

    def listen(self, mode: int = 0o660) -> IListeningPort:
        """Listen, until the test is over."""
        port = listen(reactor, self.path, mode, Factory.forProtocol(Protocol))
        self.addCleanup(port.stopListening)
        return port

    def refusal(self) -> str:
        """Why it can't be listened."""
        return str(self.assertRaises(SocketError, self.listen))

    def test_makes_directories(self) -> None:
        """Missing directories are made."""
        self.path = self.directory / "a" / "b" / "s"
        self.listen()
        self.assertEqual(probe(self.path), "live")

    def test_leaves_directories_alone(self) -> None:
        """The mode of a directory that was there stays."""
        self.directory.mkdir(mode=0o700)
        self.listen()
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)

    def test_mode_before_the_first_connection(self) -> None:
        """When connections become possible, the mode is right already, whatever the umask."""
        seen = []
        really = socket.socket.listen

        class Watched(socket.socket):
            def listen(watched, backlog: int = 0) -> None:  # noqa: N805 - `self` is the test
                seen.append(stat.S_IMODE(self.path.stat().st_mode))
                really(watched, backlog)

        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        with mock.patch("socket.socket", Watched):
            self.listen(0o666)
        self.assertEqual(seen, [0o666])
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o666)

    def test_replaces_a_stale_socket(self) -> None:
        """What a server left behind that was killed is no obstacle."""
        self.directory.mkdir()
        leave_stale(self.path)
        self.listen()
        self.assertEqual(probe(self.path), "live")

    def test_never_steals_a_live_one(self) -> None:
        """A second server is refused, says what to do, and the first one goes on."""
        self.listen()
        inode = self.path.stat().st_ino
        self.assertIn("another server listens on", self.refusal())
        self.assertEqual((probe(self.path), self.path.stat().st_ino), ("live", inode))

    def test_never_removes_anything_else(self) -> None:
        """A file at the path stays what it was."""
        self.directory.mkdir()
        self.path.write_text("precious")
        self.assertIn("exists and is not a socket", self.refusal())
        self.assertEqual(self.path.read_text(), "precious")

    def test_one_starter_at_a_time(self) -> None:
        """While one server replaces a stale socket, no other one may; the lock leaves nothing behind."""
        self.directory.mkdir()
        leave_stale(self.path)
        refused = []

        def remove(path: Path) -> None:
            refused.append(str(self.assertRaises(SocketError, listen, reactor, path, 0o660, Factory(), patience=0.0)))
            path.unlink()

        with mock.patch("copilot_socket.wire.listening._remove", remove):
            self.listen()
        self.assertIn(f"another process holds {self.path}.lock", refused[0])
        self.assertEqual(list(self.directory.iterdir()), [self.path])

    def test_lock_of_somebody_else(self) -> None:
        """A lock on the directory, which anyone can hold, is no obstacle; a lock file that others can open is one."""
        self.directory.mkdir()
        descriptor = os.open(self.directory, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        lock = self.directory / "s.lock"
        lock.touch(0o644)
        self.assertIn(f"{lock} is not a lock file of this user's alone", self.refusal())
        lock.unlink()
        self.listen()

    def test_directories_whatever_the_umask(self) -> None:
        """Directories that are made are for their owner to write to and for everyone to pass through."""
        self.path = self.directory / "a" / "s"
        for umask in (0o000, 0o077):
            self.addCleanup(os.umask, os.umask(umask))
            port = listen(reactor, self.path, 0o660, Factory())
            port.connectionLost(Failure(ConnectionDone()))
            for made in (self.path.parent, self.directory):
                self.assertEqual(stat.S_IMODE(made.stat().st_mode), 0o755)
                made.rmdir()

    def test_impossible_directory(self) -> None:
        """Where a directory can't be made the error names it and the variable."""
        self.directory.write_text("a file")
        self.path = self.directory / "a" / "s"
        refusal = self.refusal()
        self.assertIn(str(self.directory / "a"), refusal)
        self.assertIn("SOCKET_PATH", refusal)

    def test_too_long(self) -> None:
        """A path that is too long for a socket is refused with the path."""
        self.path = self.directory / ("x" * 120)
        self.assertIn(str(self.path), self.refusal())

    async def test_stops_clean(self) -> None:
        """After an orderly end the path is free."""
        port = listen(reactor, self.path, 0o660, Factory.forProtocol(Protocol))
        await maybeDeferred(port.stopListening)
        self.assertEqual(probe(self.path), "free")

    async def test_stops_without_its_file(self) -> None:
        """A file that was removed does not keep the port from stopping, and a successor's is left alone."""
        for successor in (False, True):
            port = listen(reactor, self.path, 0o660, Factory.forProtocol(Protocol))
            self.assertTrue(port.in_place)
            self.path.unlink()
            self.assertFalse(port.in_place)
            if successor:
                self.listen()
            await maybeDeferred(port.stopListening)
            self.assertEqual(probe(self.path), "live" if successor else "free")
