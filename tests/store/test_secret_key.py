"""The key file of the embedded database."""

import os
import threading
from pathlib import Path

from cryptography.fernet import Fernet
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store.embedded import EmbeddedError, keys_in_use

KEY, OTHER = (Fernet.generate_key().decode() for _ in range(2))


class SecretKeyTests(SynchronousTestCase):
    """A state directory."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "secret-key"

    def write(self, text: str, mode: int = 0o600) -> None:
        """Write *text* to the file."""
        self.path.write_text(text)
        self.path.chmod(mode)

    def test_made_once(self) -> None:
        """Without a given key one is created, accessible to its owner only, and kept."""
        self.addCleanup(os.umask, os.umask(0))
        keys = keys_in_use(self.directory, ())
        self.assertEqual(keys_in_use(self.directory, ()), keys)
        self.assertEqual((len(keys), self.path.stat().st_mode & 0o777), (1, 0o600))
        self.assertEqual(list(self.directory.iterdir()), [self.path])
        Fernet(keys[0])

    def test_given(self) -> None:
        """A given key is the newest; no other is created, and an existing one still decrypts."""
        self.assertEqual(keys_in_use(self.directory, (KEY,)), (KEY,))
        self.assertFalse(self.path.exists())
        self.write(f"{OTHER}\n")
        self.assertEqual(keys_in_use(self.directory, (KEY,)), (KEY, OTHER))

    def test_several(self) -> None:
        """The file may hold several keys, the newest first."""
        self.write(f"{KEY}\n{OTHER}")
        self.assertEqual(keys_in_use(self.directory, ()), (KEY, OTHER))

    def test_made_at_once(self) -> None:
        """Nodes that start together use one key."""
        found: list[tuple[str, ...]] = []
        threads = [threading.Thread(target=lambda: found.append(keys_in_use(self.directory, ()))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((len(found), len(set(found))), (8, 1))
        self.assertEqual(list(self.directory.iterdir()), [self.path])

    def test_faults(self) -> None:
        """A file that others may read, or without a key, is refused with a remedy, and not replaced."""
        for text, mode, word in (
            (KEY, 0o640, "chmod 600"),
            (KEY, 0o604, "chmod 600"),
            ("", 0o600, "restore"),
            ("hush", 0o600, "restore"),
            (f"{KEY} hush", 0o600, "restore"),
            ("ä", 0o600, "restore"),
        ):
            self.write(text, mode)
            error = self.assertRaises(EmbeddedError, keys_in_use, self.directory, ())
            self.assertIn(word, str(error))
            self.assertIn(str(self.path), str(error))
            self.assertNotIn("hush", str(error))
            self.assertEqual(self.path.read_text(), text)

    def test_no_directory(self) -> None:
        """The error for a file that can't be created or read contains that of the system."""
        error = self.assertRaises(EmbeddedError, keys_in_use, self.directory / "none", ())
        self.assertIn("No such file", str(error))
