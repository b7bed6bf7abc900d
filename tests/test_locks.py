"""Locks between processes, and waits with an end."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket import locks
from copilot_socket.locks import LockError, Patience, exclusive, open_private


class Time:
    """Time that passes in sleep() only."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let some pass."""
        self.now += seconds


class PatienceTests(SynchronousTestCase):
    """Waits."""

    def setUp(self) -> None:
        self.time = Time()
        self.patch(locks, "time", self.time)
        self.reported: list[str] = []

    def test_an_end_and_a_word(self) -> None:
        """After 2 s a message about the wait is reported, once; the wait ends after its timeout."""
        patience = Patience(10.0, self.reported.append, "Godot")
        waits = 0
        while patience.wait(0.5):
            waits += 1
            self.assertEqual(bool(self.reported), waits * 0.5 > 2.0, waits)
        self.assertEqual((waits, self.reported), (20, ["waiting for Godot, for up to 10 s"]))

    def test_no_word_about_a_moment(self) -> None:
        """A short wait is not reported."""
        patience = Patience(1.0, self.reported.append, "Godot")
        while patience.wait(0.1):
            pass
        self.assertEqual(self.reported, [])


class LockTests(SynchronousTestCase):
    """Lock files."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.path = self.directory / "lock"
        self.reported: list[str] = []

    def take(self, seconds: float = 0.0, keep: bool = True) -> None:
        """Take the lock and release it."""
        with exclusive(self.path, seconds, self.reported.append, keep=keep):
            pass

    def test_nobody_else_can_open_it(self) -> None:
        """It is made for its owner alone, whatever the umask; a file that others can open is refused."""
        self.addCleanup(os.umask, os.umask(0))
        self.take()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        for mode in (0o640, 0o604, 0o620, 0o606):
            self.path.chmod(mode)
            self.assertIn(f"{self.path} is not a lock file", str(self.assertRaises(LockError, self.take)))

    def test_other_files(self) -> None:
        """A link, a pipe, a file with a second name, or one of another user is no lock file."""
        target = self.directory / "target"
        target.touch(0o600)
        self.path.symlink_to(target)
        self.assertIn(f"{self.path} is not a lock file", str(self.assertRaises(LockError, self.take)))
        self.path.unlink()
        self.path.hardlink_to(target)
        self.assertRaises(LockError, self.take)
        self.path.unlink()
        os.mkfifo(self.path, 0o600)
        self.assertRaises(LockError, self.take)
        self.path.unlink()
        self.path.touch(0o600)
        with mock.patch.object(os, "geteuid", lambda: self.path.stat().st_uid + 1):
            self.take()  # the directory's owner may do as he likes
            with mock.patch.object(Path, "stat", lambda _: os.stat_result([0] * 4 + [12345] + [0] * 5)):
                self.assertRaises(LockError, self.take)

    def test_that_can_not_be_opened(self) -> None:
        """Another user's lock file is named; where there is none, it is the directory that is in the way."""

        def refuse(*_args: object) -> int:
            raise PermissionError(errno.EACCES, "no")

        self.path.touch(0o600)
        with mock.patch.object(os, "open", refuse):
            self.assertIn(f"{self.path} is not a lock file", str(self.assertRaises(LockError, self.take)))
            self.path.unlink()
            self.assertRaises(PermissionError, self.take)

    def test_held(self) -> None:
        """While another process holds it, the wait is reported, and fails after its timeout."""
        holder = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import fcntl, os, sys; lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)\n"
                "fcntl.flock(lock, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()",
                str(self.path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(holder.communicate)
        assert holder.stdout is not None
        holder.stdout.readline()
        self.patch(locks, "time", Time())
        error = self.assertRaises(LockError, self.take, 10.0)
        self.assertIn(f"another process holds {self.path}", str(error))
        self.assertEqual(len(self.reported), 1)
        self.assertIn(f"waiting for {self.path}, which another process holds", self.reported[0])
        holder.kill()
        holder.wait()
        self.take()

    def test_removed(self) -> None:
        """After a holder removes its file, a waiting process locks the new file."""
        with exclusive(self.path, 0.0, self.reported.append, keep=False):
            waiting = open_private(self.path)
        self.addCleanup(os.close, waiting)
        self.assertFalse(self.path.exists())
        with exclusive(self.path, 0.0, self.reported.append):
            fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of a file that no name leads to any more
            self.assertRaises(LockError, self.take)
