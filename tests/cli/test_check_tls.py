"""`copilot-socket check` on a database with TLS: libpq's messages about certificates are distinguished."""

import psycopg2

from copilot_socket.cli import database_inspection
from tests.cli.support import CommandTestCase

# As libpq 17 words them; the embedded server, which the tests use, knows no TLS.
COMPLAINTS = {
    'root certificate file "/var/lib/copilot-study/.postgresql/root.crt" does not exist\n'
    "Either provide the file, use the system's trusted roots with sslrootcert=system, or change sslmode to disable "
    "server certificate verification.": "sslrootcert=/etc/ssl/certs/ca-certificates.crt",
    "SSL error: certificate verify failed": "the authority that signed the server's certificate",
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
