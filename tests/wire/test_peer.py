"""Who is at the other end of a UNIX socket."""

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.wire.peer import Peer, read_peer


def start_time_of(pid: int) -> str:
    """In clock ticks since the machine was started; the command's name must hold no blank here."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").split()[21]


class ReadPeerTests(SynchronousTestCase):
    """Peers that can be read, and others."""

    def path(self) -> str:
        """For a socket; trial's own directories have names too long for that."""
        directory = tempfile.mkdtemp(prefix="copilot-")
        self.addCleanup(shutil.rmtree, directory)
        return f"{directory}/s"

    def test_pair(self) -> None:
        """Of a pair of sockets, the other end is this process."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            peer = read_peer(ours)
        assert peer is not None
        self.assertEqual((peer.pid, peer.uid), (os.getpid(), os.geteuid()))
        self.assertEqual(peer.start_time, start_time_of(os.getpid()))
        self.assertEqual(peer.namespace, Path("/proc/self/ns/pid").readlink().name)

    def test_accepted(self) -> None:
        """A real connection shows its process, and again the same key on the next one."""
        path = self.path()
        keys = set()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            for _ in range(2):
                with socket.socket(socket.AF_UNIX) as crawler:
                    crawler.connect(path)
                    accepted, _address = listening.accept()
                    with accepted:
                        peer = read_peer(accepted)
                assert peer is not None
                self.assertEqual(peer.pid, os.getpid())
                keys.add(peer.key)
        self.assertEqual(len(keys), 1)

    def test_process_with_an_awkward_name(self) -> None:
        """Blanks and parentheses in a command's name do not shift the start time."""
        comm = Path("/proc/self/comm")
        before = comm.read_bytes()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            plain = read_peer(ours)
            comm.write_bytes(b") 1 (2) 3 4 5")
            self.addCleanup(comm.write_bytes, before.rstrip())
            self.assertEqual(read_peer(ours), plain)

    def test_process_that_has_ended(self) -> None:
        """A process that has ended since it connected has no identity."""
        path = self.path()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            child = os.fork()
            if child == 0:
                socket.socket(socket.AF_UNIX).connect(path)
                os._exit(0)
            accepted, _address = listening.accept()
            os.waitpid(child, 0)
            with accepted:
                self.assertIsNone(read_peer(accepted))

    def test_tcp(self) -> None:
        """Over TCP no process can be read."""
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as crawler:
            crawler.connect(listening.getsockname())
            accepted, _address = listening.accept()
            with accepted:
                self.assertIsNone(read_peer(accepted))


class KeyTests(SynchronousTestCase):
    """The key under which a process's leases are kept."""

    def test_every_part_counts(self) -> None:
        """A pid used again, in another namespace, on another machine or by another user is someone else."""
        peer = Peer(7, 1000, "123", "pid:[1]", "boot")
        changes: list[dict[str, Any]] = [
            {"pid": 8},
            {"uid": 0},
            {"start_time": "124"},
            {"namespace": "pid:[2]"},
            {"boot": "later"},
        ]
        keys = {peer.key, *(attrs.evolve(peer, **change).key for change in changes)}
        self.assertEqual(len(keys), 1 + len(changes))
