"""Encryption of stored secrets."""

from collections import Counter

from cryptography.fernet import Fernet

from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import CLI, Act
from copilot_socket.core.vault import Vault, VaultError, access_token, client_secret, refresh_token, webhook_secret
from copilot_socket.store import registering, sealing
from copilot_socket.store.oauth_clients import OAuthClient
from copilot_socket.store.sealing import KeyHolder, Sealed, Survey, key_holders, seal, survey
from tests.support.postgres import SynchronousDatabaseTestCase

WEBHOOK = "01JD0000000000000000000000"
OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


def former(key: str, secret: str) -> str:
    """*secret* as former versions encrypted it: bound to no place."""
    return "fernet:" + Fernet(key).encrypt(secret.encode()).decode()


class SealingTests(SynchronousDatabaseTestCase):
    """Accounts and an OAuth client, some of them stored before there was a key, or by a former version."""

    def setUp(self) -> None:
        super().setUp()
        old = Vault([OLD])
        for name, access, refresh in (
            ("a", "glpat-a", None),
            ("b", "glpat-b", "refresh-b"),
            ("c", former(OLD, "glpat-c"), "refresh-c"),
            (
                "d",
                old.encrypt("glpat-d", access_token("d", "https://g")),
                old.encrypt("refresh-d", refresh_token("d", "https://g")),
            ),
            ("e", "plain:fernet:e", None),
            ("f", former(NEW, "glpat-f"), None),
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
        all_places = {name: access_token(name, "https://g") for name in "abcdef"}
        all_places |= {f"{name}-refresh": refresh_token(name, "https://g") for name in "abcdef"}
        all_places["https://g"] = client_secret("https://g")
        return {name: Vault(keys).decrypt(text, all_places[name]) for name, text in self.stored().items()}

    def test_webhooks(self) -> None:
        """The secrets of a webhook, too; the former one may be none."""
        self.query(
            "INSERT INTO webhooks (id, url, events, secret, former_secret, created_by)"
            " VALUES (%s, 'https://x/?y', '{host.held}', 'whsec_new', 'whsec_old', 'x')",
            WEBHOOK,
        )
        self.assertEqual(seal(self.database_url, Vault([NEW, OLD])).rows, 7)
        [stored] = self.query("SELECT secret, former_secret FROM webhooks")
        places = [webhook_secret(WEBHOOK, column) for column in ("secret", "former_secret")]
        opened = [Vault([NEW]).decrypt(text, place) for text, place in zip(stored, places, strict=True)]
        self.assertEqual(opened, ["whsec_new", "whsec_old"])
        self.assertRaises(VaultError, Vault([NEW]).decrypt, stored[0], places[1])

    def test_what_is_plain(self) -> None:
        """Plain and unbound secrets are encrypted with the newest key, bound ones stay; a second run does nothing."""
        before = self.stored()
        self.patch(sealing, "BATCH", 2)
        both = Vault([NEW, OLD])
        self.assertEqual(seal(self.database_url, both), Sealed(6, [], 1))
        after = self.stored()
        self.assertTrue(all(text.startswith("fernet:2:") for text in after.values()), after)
        self.assertEqual(after["d"], before["d"])
        self.assertEqual(
            self.readable(NEW, OLD),
            {
                **{name: f"glpat-{name}" for name in "abcdf"},
                **{f"{name}-refresh": f"refresh-{name}" for name in "bcd"},
                "e": "fernet:e",
                "https://g": "secret",
            },
        )
        self.assertEqual(seal(self.database_url, both), Sealed(0, []))

    def test_everything(self) -> None:
        """With *everything*, the old key is needed no more, and repeating it changes nothing."""
        self.patch(sealing, "BATCH", 2)
        both = Vault([NEW, OLD])
        self.assertEqual(seal(self.database_url, both, everything=True), Sealed(7, [], 1))
        self.assertEqual(self.readable(NEW), self.readable(NEW, OLD))
        after = self.stored()
        self.assertEqual(seal(self.database_url, both, everything=True), Sealed(0, []))
        self.assertEqual(self.stored(), after)

    def test_what_no_key_fits(self) -> None:
        """Secrets that no key decrypts are unchanged, and named; so are those that were copied from another row."""
        before = self.stored()
        self.query("UPDATE accounts SET refresh_token = %s WHERE id = 'a'", before["d-refresh"])
        unreadable = ["accounts c", "accounts d"]
        self.assertEqual(
            seal(self.database_url, Vault([NEW]), everything=True), Sealed(4, ["accounts a", *unreadable], 1)
        )
        self.assertEqual((self.stored()["c"], self.stored()["d"]), (before["c"], before["d"]))
        self.assertEqual(seal(self.database_url, Vault([NEW, OLD]), everything=True), Sealed(2, ["accounts a"]))

    def test_copies(self) -> None:
        """A secret copied to another row, column or table, or whose row got another origin, can't be decrypted."""
        vault = Vault([NEW, OLD])
        seal(self.database_url, vault)
        stored = self.stored()
        for text, place in (
            (stored["d"], access_token("a", "https://g")),
            (stored["d"], refresh_token("d", "https://g")),
            (stored["d"], client_secret("https://g")),
            (stored["https://g"], client_secret("https://h")),
            (stored["d"], access_token("d", "https://h")),
        ):
            self.assertRaises(VaultError, vault.decrypt, text, place)

    def test_survey(self) -> None:
        """Secrets are counted by key, plain ones and those of the former form too; nothing is changed."""
        self.patch(sealing, "BATCH", 2)
        before = self.stored()
        found = survey(self.database_url, Vault([NEW, OLD]))
        self.assertEqual(found, Survey(Counter({1: 3, 0: 1, None: 6}), 2, []))
        self.assertEqual(survey(self.database_url, Vault([OLD])), Survey(Counter({0: 3, None: 6}), 1, ["accounts f"]))
        self.assertEqual(self.stored(), before)
        seal(self.database_url, Vault([NEW, OLD]), everything=True)
        self.assertEqual(survey(self.database_url, Vault([NEW, OLD])), Survey(Counter({0: 10}), 0, []))

    def test_key_holders(self) -> None:
        """Nodes of former versions, and those whose first key is another, do not have the newest key."""
        vault = Vault([NEW, OLD])
        new, old = vault.fingerprints
        for pid, keys, lease in ((1, [new, old], 9), (2, [old, new], 9), (3, None, 9), (4, [], 9), (5, [old], -9)):
            self.query(
                "INSERT INTO nodes (id, host, pid, key_fingerprints, lease_expires_at)"
                " VALUES (%s, 'h', %s, %s, now() + %s * interval '1 s')",
                *(str(pid), pid, keys, lease),
            )
        self.assertEqual(
            key_holders(self.database_url, vault),
            [KeyHolder("h", pid, pid != 5, pid == 1) for pid in range(1, 6)],
        )
