"""`copilot-socket seed`."""

from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet

from copilot_socket.core.vault import Vault, access_token, refresh_token
from tests.cli.support import CommandTestCase
from tests.support.postgres import SynchronousDatabaseTestCase, drop_database, fresh_database


class SeedTests(CommandTestCase, SynchronousDatabaseTestCase):
    """On a database of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.environ["DATABASE_URL"] = self.database_url

    def give_account(self) -> None:
        """What an administrator sets for a real account."""
        self.environ |= {
            "SEED_ACCOUNT_ID": "me",
            "SEED_PROVIDER": "gitlab-cloud",
            "SEED_GITLAB_URL": "https://gitlab.com/",
            "SEED_ACCESS_TOKEN": "hush-hush",
            "SEED_REFRESH_TOKEN": "hush-again",
        }

    def test_demo(self) -> None:
        """Without input, a made-up account and jobs without a path are stored; a second run stores nothing."""
        outcome = self.run_command("seed")
        self.assertEqual((outcome.status, outcome.errors), (0, ""))
        self.assertIn("account demo: created", outcome.output)
        rows = self.query("SELECT id, account_id, command, status FROM jobs ORDER BY command")
        self.assertEqual(
            [row[1:] for row in rows],
            [("demo", "GROUP_PROJECT_DISCOVERY", "queued"), ("demo", "users", "queued")],
        )
        for row in rows:
            self.assertIn(f"job {row[0]}: created", outcome.output)
        again = self.run_command("seed", "--json")
        self.assertEqual(again.answer, {"account": "demo", "account_created": False, "jobs": []})
        self.assertEqual(self.query("SELECT count(*)::int FROM jobs"), [(2,)])

    def test_what_is_there_stays(self) -> None:
        """A token renewed since is not overwritten, and finished jobs are not created again."""
        self.run_command("seed")
        self.query("UPDATE accounts SET access_token = 'renewed', gitlab_url = 'http://gitlab.example.org/x'")
        self.query("UPDATE jobs SET status = 'completed', finished_at = now()")
        self.assertIn("unchanged", self.run_command("seed").output)
        self.assertEqual(
            self.query("SELECT access_token, gitlab_url FROM accounts"), [("renewed", "http://gitlab.example.org/x")]
        )
        self.assertEqual(self.query("SELECT count(*)::int FROM jobs"), [(2,)])

    def test_first_jobs_of_an_account_from_elsewhere(self) -> None:
        """An existing account without jobs gets its first ones."""
        self.run_command("seed")
        self.query("DELETE FROM jobs")
        self.assertEqual(len(self.run_command("seed", "--json").answer["jobs"]), 2)

    def test_account_given(self) -> None:
        """The environment describes the account, options override it, tokens are encrypted and never shown."""
        key = Fernet.generate_key().decode()
        self.give_account()
        self.environ |= {"COPILOT_SECRET_KEY": key, "SOCKET_RETRY_ATTEMPTS": "7"}
        outcome = self.run_command("seed", "--account-id", "you", "--token-expires-at", "2030-01-31T12:00:00+01:00")
        self.assertEqual((outcome.status, outcome.errors), (0, ""))
        [(account_id, provider, url, access, refresh, expires)] = self.query(
            "SELECT id, provider, gitlab_url, access_token, refresh_token, token_expires_at = '2030-01-31T11:00:00Z'"
            " FROM accounts"
        )
        self.assertEqual((account_id, provider, url, expires), ("you", "gitlab-cloud", "https://gitlab.com", True))
        self.assertEqual(_opened(key, "you", (access, refresh)), ["hush-hush", "hush-again"])
        self.assertNotIn("hush", f"{outcome.output}{access}{refresh}")
        self.assertEqual(self.query("SELECT DISTINCT max_attempts FROM jobs"), [(7,)])

    def test_tokens_in_files(self) -> None:
        """Each token may be in a file that its variable with _FILE names, or in one of systemd's credentials."""
        key = Fernet.generate_key().decode()
        self.give_account()
        del self.environ["SEED_ACCESS_TOKEN"], self.environ["SEED_REFRESH_TOKEN"]
        Path("access").write_text("hush-hush\n")
        Path("seed-refresh-token").write_text("hush-again\n")
        self.environ |= {"COPILOT_SECRET_KEY": key, "SEED_ACCESS_TOKEN_FILE": str(Path("access").absolute())}
        self.environ["CREDENTIALS_DIRECTORY"] = str(Path.cwd())
        outcome = self.run_command("seed")
        self.assertEqual((outcome.status, outcome.errors), (0, ""))
        [tokens] = self.query("SELECT access_token, refresh_token FROM accounts")
        self.assertEqual(_opened(key, "me", tokens), ["hush-hush", "hush-again"])

    def test_the_env_file(self) -> None:
        """Account and tokens may stand in the .env file, as settings may; the environment beats it."""
        key = Fernet.generate_key().decode()
        lines = ["SEED_ACCOUNT_ID=me", "SEED_PROVIDER=gitlab-cloud", "SEED_GITLAB_URL=https://gitlab.com"]
        Path(".env.development").write_text(
            "\n".join([*lines, "SEED_ACCESS_TOKEN=hush", f"COPILOT_SECRET_KEY={key}"])
        )
        self.environ["SEED_ACCOUNT_ID"] = "you"
        self.assertEqual(self.run_command("seed", "--json").answer["account"], "you")
        [(token,)] = self.query("SELECT access_token FROM accounts")
        self.assertEqual(_opened(key, "you", (token,))[0], "hush")

    def test_files_that_will_not_do(self) -> None:
        """All faults of token files are reported by variable, without any token; nothing is stored."""
        self.give_account()
        del self.environ["SEED_REFRESH_TOKEN"]
        self.environ |= {"SEED_ACCESS_TOKEN_FILE": "/dev/null", "SEED_REFRESH_TOKEN_FILE": "/nonexistent"}
        outcome = self.run_command("seed")
        self.assertEqual((outcome.status, outcome.output), (1, ""))
        self.assertEqual(
            outcome.errors.splitlines(),
            [
                "copilot-socket: SEED_ACCESS_TOKEN_FILE is '/dev/null' (environment): "
                "allowed is only one of SEED_ACCESS_TOKEN and SEED_ACCESS_TOKEN_FILE",
                "copilot-socket: SEED_REFRESH_TOKEN_FILE is '/nonexistent' (environment): "
                "allowed is the path of a file that holds the secret (No such file or directory)",
            ],
        )
        self.assertEqual(self.query("SELECT count(*)::int FROM accounts"), [(0,)])

    def test_faults(self) -> None:
        """All missing or invalid values are reported together by variable, and nothing is stored."""
        self.environ |= {"SEED_PROVIDER": "github", "SEED_ACCESS_TOKEN": "hush hush"}
        outcome = self.run_command("seed")
        self.assertEqual((outcome.status, outcome.output), (1, ""))
        for words in (
            "SEED_ACCOUNT_ID is required",
            "SEED_PROVIDER must be one of",
            "SEED_GITLAB_URL",
            "SEED_ACCESS",
        ):
            self.assertIn(words, outcome.errors)
        self.assertNotIn("hush", outcome.errors)
        self.assertEqual(self.query("SELECT count(*)::int FROM accounts"), [(0,)])

    def test_production(self) -> None:
        """Production gets no made-up account, but a real one."""
        self.environ |= {"COPILOT_ENV": "production", "COPILOT_SECRET_KEY": Fernet.generate_key().decode()}
        outcome = self.run_command("seed")
        self.assertEqual(outcome.status, 1)
        self.assertIn("set SEED_ACCOUNT_ID, SEED_PROVIDER, SEED_GITLAB_URL and SEED_ACCESS_TOKEN", outcome.errors)
        self.give_account()
        self.assertEqual(self.run_command("seed", "--json").answer["account"], "me")

    def test_no_tables(self) -> None:
        """For a database without tables the command that creates them is named."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        self.environ["DATABASE_URL"] = url
        outcome = self.run_command("seed")
        self.assertEqual(outcome.status, 1)
        self.assertIn("copilot-socket migrate", outcome.errors)


def _opened(key: str, account: str, stored: Sequence[object]) -> list[str]:
    """The stored access and refresh token of an account of gitlab.com, decrypted with *key*."""
    places = access_token(account, "https://gitlab.com"), refresh_token(account, "https://gitlab.com")
    return [Vault([key]).decrypt(str(text), place) for text, place in zip(stored, places, strict=False)]
