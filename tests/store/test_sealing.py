"""Encryption of stored secrets."""

from cryptography.fernet import Fernet

from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import CLI, Act
from copilot_socket.core.vault import Vault
from copilot_socket.store import registering, sealing
from copilot_socket.store.oauth_clients import OAuthClient
from copilot_socket.store.sealing import Sealed, seal
from tests.support.postgres import SynchronousDatabaseTestCase

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


class SealingTests(SynchronousDatabaseTestCase):
    """Accounts and an OAuth client, some of them stored before there was a key."""

    def setUp(self) -> None:
        super().setUp()
        old = Vault([OLD])
        for name, access, refresh in (
            ("a", "glpat-a", None),
            ("b", "glpat-b", "refresh-b"),
            ("c", old.encrypt("glpat-c"), "refresh-c"),
            ("d", old.encrypt("glpat-d"), old.encrypt("refresh-d")),
            ("e", "plain:fernet:e", None),
        ):
            self.query(
                "INSERT INTO accounts (id, provider, gitlab_url, access_token, refresh_token)"
                " VALUES (%s, 'gitlab-onprem', 'https://g', %s, %s)",
                *(name, access, refresh),
            )
        act = Act(CLI, Actor("cli:op(7)"), "oauth_client.put")
        registering.put(self.database_url, "https://g", OAuthClient("id", "secret"), Vault(), act)

    def stored(self) -> dict[str, str]:
        """All stored secrets, by name."""
        rows = self.query(
            "SELECT id, access_token FROM accounts UNION ALL SELECT id || '-refresh', refresh_token FROM accounts"
            " WHERE refresh_token IS NOT NULL UNION ALL SELECT origin, client_secret FROM oauth_clients"
        )
        return {str(name): str(text) for name, text in rows}

    def readable(self, *keys: str) -> dict[str, str]:
        """All stored secrets, decrypted."""
        return {name: Vault(keys).decrypt(text) for name, text in self.stored().items()}

    def test_what_is_plain(self) -> None:
        """Plain secrets are encrypted with the newest key, encrypted ones stay; a second run does nothing."""
        before = self.stored()
        self.patch(sealing, "BATCH", 2)
        both = Vault([NEW, OLD])
        self.assertEqual(seal(self.database_url, both), Sealed(5, []))
        after = self.stored()
        self.assertTrue(all(text.startswith("fernet:") for text in after.values()), after)
        self.assertEqual(after["d"], before["d"])
        self.assertEqual(
            self.readable(NEW, OLD),
            {
                **{name: f"glpat-{name}" for name in "abcd"},
                **{f"{name}-refresh": f"refresh-{name}" for name in "bcd"},
                "e": "fernet:e",
                "https://g": "secret",
            },
        )
        self.assertEqual(seal(self.database_url, both), Sealed(0, []))

    def test_everything(self) -> None:
        """With *everything*, the old key is needed no more."""
        self.assertEqual(seal(self.database_url, Vault([NEW, OLD]), everything=True), Sealed(6, []))
        self.assertEqual(self.readable(NEW), self.readable(NEW, OLD))

    def test_what_no_key_fits(self) -> None:
        """Secrets that no key decrypts are unchanged, and named."""
        before = self.stored()
        self.assertEqual(
            seal(self.database_url, Vault([NEW]), everything=True), Sealed(4, ["accounts c", "accounts d"])
        )
        self.assertEqual((self.stored()["c"], self.stored()["d"]), (before["c"], before["d"]))
