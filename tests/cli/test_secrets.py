"""`copilot-socket keys` and `oauth-clients`."""

import io
import sys
from collections import Counter

from cryptography.fernet import Fernet
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli.keys import State
from copilot_socket.core.vault import Vault, access_token, client_secret, fingerprint
from copilot_socket.store.sealing import Survey
from tests.cli.support import CommandTestCase, Outcome
from tests.support.postgres import SynchronousDatabaseTestCase

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
PLACE = access_token("a", "https://g")


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

    def account(self, name: str, stored: str) -> None:
        """An account with this access token, as stored."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES (%s, 'gitlab-onprem', 'https://g', %s)",
            *(name, stored),
        )

    def node(self, pid: int, *keys: str, lease: float = 60.0) -> None:
        """A node with these keys, whose lease ends in *lease* seconds; the only one."""
        self.query("DELETE FROM nodes")
        self.query(
            "INSERT INTO nodes (id, host, pid, key_fingerprints, lease_expires_at)"
            " VALUES ('n', 'h', %s, %s, now() + %s * interval '1 s')",
            *(pid, list(map(fingerprint, keys)) or None, lease),
        )

    def test_rotate(self) -> None:
        """All stored tokens are re-encrypted; unreadable ones are named, with status 1; a key is required."""
        self.account("a", Vault([OLD]).encrypt("glpat", PLACE))
        self.account("b", "plain")
        self.assertIn("COPILOT_SECRET_KEY", self.run_command("keys", "rotate").errors)
        self.environ["COPILOT_SECRET_KEY"] = NEW
        outcome = self.run_command("keys", "rotate", "--json")
        answer = outcome.answer
        self.assertEqual((outcome.status, answer["encrypted"], answer["unreadable"]), (1, 1, ["accounts a"]))
        self.assertIn("Not yet: no key given here decrypts accounts a (give all keys", answer["conclusion"])
        self.environ["COPILOT_SECRET_KEY"] = f"{NEW},{OLD}"
        outcome = self.run_command("keys", "rotate")
        self.assertEqual(
            (outcome.status, outcome.output.splitlines()),
            (
                0,
                [
                    "accounts and OAuth clients that were encrypted with the newest key: 1",
                    f"key 1 ({fingerprint(NEW)}, the newest, from COPILOT_SECRET_KEY): 2 secrets",
                    f"key 2 ({fingerprint(OLD)}, from COPILOT_SECRET_KEY): 0 secrets",
                    "The older key can be removed from COPILOT_SECRET_KEY now.",
                ],
            ),
        )
        stored = [str(row[0]) for row in self.query("SELECT access_token FROM accounts ORDER BY id")]
        places = PLACE, access_token("b", "https://g")
        self.assertEqual(list(map(Vault([NEW]).decrypt, stored, places)), ["glpat", "plain"])
        self.environ["COPILOT_SECRET_KEY"] = NEW
        outcome = self.run_command("keys", "status")
        self.assertEqual(
            (outcome.status, outcome.output.splitlines()[-1][:30]), (0, "All stored secrets are encrypt")
        )

    def test_status(self) -> None:
        """What needs older keys, is plain or in the former form is counted; nothing is changed, and no key shown."""
        self.account("a", Vault([OLD]).encrypt("glpat", PLACE))
        self.account("b", "fernet:" + Fernet(NEW).encrypt(b"x").decode())
        self.account("c", "plain")
        before = self.query("SELECT access_token FROM accounts ORDER BY id")
        self.environ["COPILOT_SECRET_KEY"] = f"{NEW},{OLD}"
        outcome = self.run_command("keys", "status")
        self.assertEqual(outcome.status, 1)
        for words in (
            "Not yet: 1 secret needs an older key (run",
            "; 1 secret is plain",
            "; 1 secret is not bound to its row",
        ):
            self.assertIn(words, outcome.output)
        answer = self.run_command("keys", "status", "--json").answer
        counts = [each["secrets"] for each in answer["keys"]]
        self.assertEqual((counts, answer["plain"], answer["unbound"], answer["removable"]), ([1, 1], 1, 1, False))
        for key in (NEW, OLD):
            self.assertNotIn(key, outcome.output + str(answer))
        self.assertEqual(self.query("SELECT access_token FROM accounts ORDER BY id"), before)
        outcome = self.run_command("keys", "rotate")
        self.assertEqual(outcome.status, 0)
        self.assertIn(
            "note: 1 secret had been encrypted with the newest key by a version that did not", outcome.output
        )
        self.assertNotIn("note:", self.run_command("keys", "rotate").output)

    def test_nodes_without_the_newest_key(self) -> None:
        """While one runs, nothing is re-encrypted; until one that was lost is forgotten, no key may go."""
        stored = Vault([OLD]).encrypt("glpat", PLACE)
        self.account("a", stored)
        self.environ["COPILOT_SECRET_KEY"] = f"{NEW},{OLD}"
        for keys in ((), (OLD,), (OLD, NEW)):
            self.node(7, *keys)
            outcome = self.run_command("keys", "rotate")
            self.assertEqual(outcome.status, 1)
            self.assertIn("Not yet: the node with pid 7 on h does not encrypt with the newest key", outcome.output)
            self.assertEqual(self.query("SELECT access_token FROM accounts"), [(stored,)])
        self.node(7, NEW, OLD)
        self.assertEqual(self.run_command("keys", "rotate").status, 0)
        self.node(8, OLD)
        self.assertEqual(self.run_command("keys", "status").status, 1)
        self.node(8, OLD, lease=-1.0)
        outcome = self.run_command("keys", "rotate")
        self.assertEqual(outcome.status, 1)
        self.assertIn("Not yet: the node with pid 8 on h was lost", outcome.output)

    def test_a_client(self) -> None:
        """A client is stored for its origin, its secret encrypted and never shown; put again it is replaced."""
        self.environ["COPILOT_SECRET_KEY"] = NEW
        outcome = self.put(
            "https://GitLab.Example.org:443/api/v4", "--client-id", "one", "--redirect-uri", "http://r"
        )
        self.assertEqual((outcome.status, outcome.errors), (0, ""))
        [(origin, secret)] = self.query("SELECT origin, client_secret FROM oauth_clients")
        self.assertEqual(
            (origin, Vault([NEW]).decrypt(str(secret), client_secret(str(origin)))),
            ("https://gitlab.example.org", "s3cret"),
        )
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


class ConclusionTests(SynchronousTestCase):
    """From where older keys can be removed."""

    def test_sources(self) -> None:
        """The variable, a key file with a newer key, and a file of older keys only, which must go as a whole."""
        variable, file = "COPILOT_SECRET_KEY", "/state/secret-key"
        for sources, said in (
            ((variable, variable, variable), "The 2 older keys can be removed from COPILOT_SECRET_KEY now."),
            ((file, file), "The older key can be removed from /state/secret-key now."),
            ((variable, file), "The older key can be removed with the file /state/secret-key now."),
            (
                (variable, variable, file),
                "The 2 older keys can be removed from COPILOT_SECRET_KEY and with the file /state/secret-key now.",
            ),
        ):
            fingerprints = [str(number) for number, _ in enumerate(sources)]
            state = State(fingerprints, sources, Survey(Counter({0: 3}), 0, []), [], None)
            self.assertEqual(state.conclusion(), said)
