"""`copilot-socket keys` and `oauth-clients`."""

import io
import sys

from cryptography.fernet import Fernet

from copilot_socket.core.vault import Vault
from tests.cli.support import CommandTestCase, Outcome
from tests.support.postgres import SynchronousDatabaseTestCase

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


class SecretCommandsTests(SynchronousDatabaseTestCase, CommandTestCase):
    """On a database of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.environ.update(DATABASE_URL=self.database_url)

    def put(self, *words: str, secret: str = "s3cret\n") -> Outcome:
        """Run `oauth-clients put` with *secret* on standard input."""
        self.patch(sys, "stdin", io.StringIO(secret))
        return self.run_command("oauth-clients", "put", *words)

    def test_keys_new(self) -> None:
        """A new key is printed."""
        Fernet(self.run_command("keys", "new").output.strip())

    def test_rotate(self) -> None:
        """All stored tokens are re-encrypted; unreadable ones are named, with status 1; a key is required."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('a', 'gitlab-onprem', 'https://g', %s), ('b', 'gitlab-onprem', 'https://g', 'plain')",
            Vault([OLD]).encrypt("glpat"),
        )
        self.assertIn("COPILOT_SECRET_KEY", self.run_command("keys", "rotate").errors)
        self.environ["COPILOT_SECRET_KEY"] = NEW
        outcome = self.run_command("keys", "rotate", "--json")
        self.assertEqual((outcome.status, outcome.answer), (1, {"encrypted": 1, "unreadable": ["accounts a"]}))
        self.environ["COPILOT_SECRET_KEY"] = f"{NEW},{OLD}"
        outcome = self.run_command("keys", "rotate")
        self.assertEqual((outcome.status, outcome.output.split()[0]), (0, "2"))
        stored = [str(row[0]) for row in self.query("SELECT access_token FROM accounts ORDER BY id")]
        self.assertEqual([Vault([NEW]).decrypt(text) for text in stored], ["glpat", "plain"])

    def test_a_client(self) -> None:
        """A client is stored for its origin, its secret encrypted and never shown; put again it is replaced."""
        self.environ["COPILOT_SECRET_KEY"] = NEW
        outcome = self.put(
            "https://GitLab.Example.org:443/api/v4", "--client-id", "one", "--redirect-uri", "http://r"
        )
        self.assertEqual((outcome.status, outcome.errors), (0, ""))
        [(origin, secret)] = self.query("SELECT origin, client_secret FROM oauth_clients")
        self.assertEqual((origin, Vault([NEW]).decrypt(str(secret))), ("https://gitlab.example.org", "s3cret"))
        shown = {"origin": origin, "client_id": "one", "redirect_uri": "http://r", "has_secret": True}
        self.assertEqual(self.run_command("oauth-clients", "list", "--json").answer, {"oauth_clients": [shown]})
        self.assertIn("one", self.run_command("oauth-clients", "list").output)
        self.put("https://gitlab.example.org", "--client-id", "two", "--json", secret="\n")
        self.assertEqual(
            self.query("SELECT client_id, client_secret, redirect_uri FROM oauth_clients"), [("two", None, None)]
        )
        self.assertEqual(self.run_command("oauth-clients", "remove", "https://gitlab.example.org/").status, 0)
        outcome = self.run_command("oauth-clients", "remove", "https://gitlab.example.org")
        self.assertEqual((outcome.status, "no client for" in outcome.errors), (1, True))

    def test_faults(self) -> None:
        """An invalid URL or secret is refused, and the secret is not printed."""
        for url, client, secret in (
            ("gitlab.example.org", "id", "s"),
            ("https://u:hush@h", "id", "s"),
            ("https://h", "i d", "s"),
            ("https://h", "id", "hush hush"),
            ("https://h", "id", "x" * 9000),
        ):
            outcome = self.put(url, "--client-id", client, secret=secret)
            self.assertEqual(outcome.status, 1)
            self.assertNotIn("hush", outcome.errors)
        self.assertEqual(self.query("SELECT count(*)::int FROM oauth_clients"), [(0,)])
