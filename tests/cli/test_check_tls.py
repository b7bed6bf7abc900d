"""`copilot-socket check` on a database with TLS: faults are explained, and what verifies no server is noted."""

import shutil
import tempfile
from pathlib import Path

import psycopg2
from psycopg2.extensions import parse_dsn

from copilot_socket.cli import database_inspection
from copilot_socket.store import tls
from tests.cli.support import CommandTestCase
from tests.support.postgres import SynchronousDatabaseTestCase, name_of
from tests.support.tls import Authority, SecureServer

# As libpq 17 words them; tests/e2e/test_database_tls.py has it say them.
COMPLAINTS = {
    'root certificate file "/var/lib/copilot-study/.postgresql/root.crt" does not exist\n'
    "Either provide the file, use the system's trusted roots with sslrootcert=system, or change sslmode to disable "
    "server certificate verification.": "sslrootcert=/etc/ssl/certs/ca-certificates.crt",
    "SSL error: certificate verify failed": "the authority that signed the server's certificate",
    'FATAL: no pg_hba.conf entry for host "192.0.2.1", user "a", database "d", no encryption': "let this role in: a "
    "line in pg_hba.conf, then `SELECT pg_reload_conf()`; if its line is there and begins with `hostssl`, append ",
    'server certificate for "db" does not match host name "x"': "name the host as the server's certificate does",
}


class CertificateTests(CommandTestCase):
    """Each message, and its remedy."""

    def test_remedies(self) -> None:
        """A certificate that can't be verified is not mistaken for a missing role, or for a server that is down."""
        self.environ |= {"DATABASE_URL": "postgresql://a@db.example.org/d?sslmode=verify-full"}
        for complaint, remedy in COMPLAINTS.items():

            def refuse(*_: object, complaint: str = complaint, **_options: object) -> None:
                raise psycopg2.OperationalError(f'connection to server at "db" failed: {complaint}')

            self.patch(database_inspection.psycopg2, "connect", refuse)
            findings = self.run_command("check", "--json").answer["findings"]
            [finding] = [finding for finding in findings if finding["subject"] == "database"]
            self.assertIn(remedy, finding["remedy"])


class VerificationTests(SynchronousDatabaseTestCase, CommandTestCase):
    """Databases on other machines; here one that only its name makes another."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        self.environ["HOME"] = str(directory)
        self.patch(tls, "DEFAULT_ROOT", str(directory / "root.crt"))
        self.authority = Authority(directory, "ours")
        self.certificate = self.authority.issue("server", ["db.example.org"])

    def found(self, server: SecureServer, options: str, host: str = "db.example.org") -> list[dict[str, object]]:
        """What `check` says about TLS."""
        user = parse_dsn(self.database_url).get("user", "")
        url = f"postgresql://{user}@{host}:{server.port}/{name_of(self.database_url)}?hostaddr=127.0.0.1&{options}"
        self.environ["DATABASE_URL"] = url
        outcome = self.run_command("check", "--json")
        self.assertEqual(outcome.status, 0, outcome.output)
        return [finding for finding in outcome.answer["findings"] if finding["subject"] == "TLS"]

    def test_what_is_noted(self) -> None:
        """Who does not verify the server is told how to, with TLS and without; who does, or stays here, is not."""
        secure = SecureServer(self.database_url, self.certificate)
        self.addCleanup(secure.close)
        plain = SecureServer(self.database_url, None)
        self.addCleanup(plain.close)
        for server, options, words in (
            (secure, "", "is encrypted, but to any server that answers (sslmode=prefer)"),
            (secure, "sslmode=require", "is encrypted, but to any server that answers (sslmode=require)"),
            (secure, "sslmode=disable", "is not encrypted (sslmode=disable)"),
            (plain, "", "is not encrypted (sslmode=prefer)"),
        ):
            [finding] = self.found(server, options)
            self.assertTrue(finding["good"])
            self.assertIn(f"db.example.org {words}", str(finding["detail"]))
            self.assertIn("sslmode=verify-full&sslrootcert=", str(finding["remedy"]))
        for options in ("sslmode=verify-full", "sslmode=verify-ca", "sslmode=require"):
            self.assertEqual(self.found(secure, f"{options}&sslrootcert={self.authority.file}"), [])
        self.assertEqual(self.found(plain, "", host="localhost"), [])

    def test_what_leaves_the_machine(self) -> None:
        """Sockets and loopback addresses do not; names and other addresses do."""
        for host in ("/run/postgresql", "@abstract", "localhost", "127.0.0.2", "::1", "", None):
            self.assertFalse(tls.leaves({"host": host}), host)
        for host in ("db", "192.0.2.1", "2001:db8::1"):
            self.assertTrue(tls.leaves({"host": host}), host)
        self.assertTrue(tls.leaves({"hostaddr": "192.0.2.1"}))

    def test_what_verifies(self) -> None:
        """`require` verifies with a root certificate, or by channel binding."""
        self.assertFalse(tls.verifies({"sslmode": "require"}))
        self.assertTrue(tls.verifies({"sslmode": "require", "channel_binding": "require"}))
        Path(tls.DEFAULT_ROOT).touch()
        self.assertTrue(tls.verifies({"sslmode": "require"}))
        self.assertFalse(tls.verifies({"sslmode": "prefer"}))
