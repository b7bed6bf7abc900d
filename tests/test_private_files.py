"""Files with secrets: whose they may be."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket import private_files
from copilot_socket.private_files import PrivateFileError, make_private, read_private

NOBODY = 65534
ROOT = 0


class OwnerTests(SynchronousTestCase):
    """read_private()."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "secret"
        make_private(self.path, "text")

    def be(self, uid: int) -> None:
        """From now on the process seems to be this user's."""
        self.patch(private_files.os, "geteuid", lambda: uid)

    def give(self, path: Path, uid: int) -> None:
        """Give *path* to another user, as only root can."""
        if os.geteuid() == ROOT:
            os.chown(path, uid, -1)

    def test_own(self) -> None:
        """The process's own file."""
        self.assertEqual(read_private(self.path), "text")

    def test_of_another_user(self) -> None:
        """It is refused, with its owner's uid, although its mode is private."""
        self.give(self.path, NOBODY)
        self.be(4711)
        error = str(self.assertRaises(PrivateFileError, read_private, self.path))
        self.assertIn(f"belongs to another user (uid {self.path.stat().st_uid})", error)
        self.assertIn(f"chown 4711 {self.path}", error)

    def test_root(self) -> None:
        """Root reads the file of a node whose user owns the directory, too, and no others."""
        if os.geteuid() != ROOT:
            return
        self.give(self.path, NOBODY)
        self.assertRaises(PrivateFileError, read_private, self.path)
        self.give(self.directory, NOBODY)
        self.assertEqual(read_private(self.path), "text")

    def test_of_root(self) -> None:
        """Root's file is trusted by whoever can read it."""
        if os.geteuid() != ROOT:
            return
        self.be(4711)
        self.assertEqual(read_private(self.path), "text")
