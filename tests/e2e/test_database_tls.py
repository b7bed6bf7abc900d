"""TLS to the database: what works, and what is refused, with its remedy and without going on in plain text."""

import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg2.extensions import parse_dsn
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from copilot_socket.core.readiness import Unready
from copilot_socket.store.connection import Connection, Limits
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.migrate import SchemaError, require_current
from copilot_socket.store.outage import cause_of
from tests.support.crawler import in_reactor, reactor
from tests.support.postgres import name_of
from tests.support.server import NodeTestCase
from tests.support.tls import Authority, SecureServer

TRUSTED = "certificates to trust"
AUTHORITY = "the authority that signed the server's certificate"
NAME = "name the host as the server's certificate does"
CLIENT = "let sslcert and sslkey in DATABASE_URL name"
SIGNED = "a certificate that the server's authority"


class DatabaseTlsTestCase(NodeTestCase):
    """A directory with certificates, and servers that use them."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.ours, self.other = (Authority(self.directory, name) for name in ("ours", "other"))
        self.certificate = self.ours.issue("server", ["localhost"])
        self.client = self.ours.issue("client")
        self.stranger = self.other.issue("stranger")

    def server(self, certificate: tuple[Path, Path] | None, clients: Authority | None = None) -> SecureServer:
        """A server, which the end of the test closes."""
        server = SecureServer(self.database_url, certificate, clients)
        self.addCleanup(server.close)
        return server

    def url(self, server: SecureServer, host: str = "localhost", **parameters: object) -> str:
        """The database's URL at *server*."""
        user = parse_dsn(self.database_url).get("user", "")
        given = {name: str(value) for name, value in {"user": user, **parameters}.items() if value}
        return f"postgresql://{host}:{server.port}/{name_of(self.database_url)}?{urlencode(given, quote_via=quote)}"

    def verified(self, server: SecureServer, host: str = "localhost", **parameters: object) -> str:
        """The same with sslmode=verify-full and our authority."""
        return self.url(server, host, **{"sslmode": "verify-full", "sslrootcert": self.ours.file, **parameters})

    async def explained(self, url: str, *words: str, cause: Unready = Unready.TLS) -> None:
        """A start, and the connections of a running node, fail with these words."""
        error = await self.assertFailure(deferToThread(require_current, url, upgrade=False), SchemaError)
        for word in words:
            self.assertIn(word, str(error))
        connection = Connection(url, reactor, Limits())
        self.addCleanup(connection.close)
        away = await self.assertFailure(Deferred.fromCoroutine(connection.query("SELECT 1")), *DATABASE_ERRORS)
        self.assertIs(cause_of(away), cause, str(away))


class DatabaseTlsTests(DatabaseTlsTestCase):
    """Each fault, and a whole job over TLS."""

    @in_reactor()
    async def test_a_job(self) -> None:
        """A node that verifies the server completes jobs, by name, and by address where the certificate has that."""
        certificate = self.ours.issue("both", ["localhost", "127.0.0.1"])
        for host in ("localhost", "127.0.0.1"):
            server = self.server(certificate, self.ours)
            cert, key = self.client
            node = await self.process(self.verified(server, host, sslcert=cert, sslkey=key)).start()
            [job] = self.add_jobs(prefix=host)
            crawler = await self.greeted(node)
            ref = crawler.complete((await crawler.take_job())["id"])
            self.assertEqual((await crawler.answer(ref))["type"], "ack")
            self.assertEqual((self.status_of(job), server.plain), ("completed", 0))
            self.assertEqual(await node.stop(), 0)

    @in_reactor()
    async def test_the_server_is_not_the_right_one(self) -> None:
        """Another authority, none, another name: each is refused, and nothing is sent in plain text."""
        server = self.server(self.certificate)
        await self.explained(
            self.verified(server, sslrootcert=self.other.file), "certificate verify failed", AUTHORITY
        )
        await self.explained(self.verified(server, sslrootcert="/nonexistent"), "does not exist", TRUSTED)
        await self.explained(self.verified(server, "127.0.0.1"), "does not match host name", NAME)
        self.assertEqual(server.plain, 0)

    @in_reactor()
    async def test_a_server_without_tls(self) -> None:
        """Who demands TLS does not go on without it."""
        server = self.server(None)
        for mode in ("require", "verify-ca", "verify-full"):
            await self.explained(
                self.verified(server, sslmode=mode), "server does not support SSL", "ssl_cert_file and ssl_key_file"
            )
        self.assertEqual(server.plain, 0)

    @in_reactor()
    async def test_client_certificates(self) -> None:
        """A missing or foreign certificate, one without its key, and a key that others may read, are explained."""
        server = self.server(self.certificate, self.ours)
        cert, key = self.client
        other_cert, other_key = self.stranger
        await self.explained(self.verified(server, sslcert="/nonexistent"), CLIENT)
        await self.explained(self.verified(server, sslcert=other_cert, sslkey=other_key), SIGNED)
        await self.explained(self.verified(server, sslcert=cert, sslkey="/nonexistent"), CLIENT)
        await self.explained(self.verified(server, sslcert=cert, sslkey=other_key), "files that belong together")
        key.chmod(0o644)
        await self.explained(self.verified(server, sslcert=cert, sslkey=key), "private key file", "mode 600")
        self.assertEqual(server.plain, 0)

    @in_reactor()
    async def test_how_a_node_says_it(self) -> None:
        """A node that can't start prints libpq's message and the remedy, and `check` the same as a fault."""
        server = self.server(self.certificate)
        url = self.verified(server, sslrootcert=self.other.file)
        node = self.process(url)
        node.launch()
        self.assertEqual(await node.exit_status(), 1)
        assert node.program is not None
        said = node.program.err.decode()
        self.assertIn("certificate verify failed", said)
        self.assertIn(AUTHORITY, said)

    @in_reactor()
    async def test_plain_text_asked_for(self) -> None:
        """A server that takes TLS only says so; `sslmode=disable` goes on in plain text, as it says."""
        server = self.server(None)
        self.assertTrue(await deferToThread(require_current, self.url(server, sslmode="disable"), upgrade=False))
        self.assertEqual(server.plain, 1)
