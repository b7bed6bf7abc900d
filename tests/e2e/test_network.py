"""Crawlers over TCP and TLS: real connections to a real node."""

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.threads import deferToThread

from copilot_socket.client import Crawler, Hello, Job
from copilot_socket.client.tls import TLSClient
from copilot_socket.core.actors import STRANGER
from copilot_socket.core.identity import MAX_SUBJECT
from copilot_socket.core.rate import WRONG_TOKENS
from copilot_socket.event_bus import Refused
from copilot_socket.handlers import doorkeeper
from copilot_socket.wire import tls as tls_module
from copilot_socket.wire.limits import Pause
from copilot_socket.wire.tls import NO_LONGER
from tests.support.certificates import DAY, Authority, Issued
from tests.support.crawler import TestCrawler, reactor, until
from tests.support.server import InProcessNode, NodeTestCase, short_directory

TOKEN = {"COPILOT_CRAWLER_TOKEN": "t"}
QUIET = {
    "SOCKET_HEARTBEAT_INTERVAL": "20000",
    "SOCKET_HEARTBEAT_TIMEOUT": "60000",
    "SOCKET_RECONNECT_GRACE": "20000",
    "SOCKET_LEASE": "30000",
    "SOCKET_CONNECTION_TIMEOUT": "60000",
}
"""Times in ms, so long that no timer fires."""


class NetworkTestCase(NodeTestCase):
    """A node that listens on the network, too; files of certificates."""

    timeout = 40

    def setUp(self) -> None:
        super().setUp()
        self.directory = short_directory()
        self.addCleanup(lambda: [path.unlink() for path in self.directory.iterdir()] and self.directory.rmdir())
        self.authority = Authority()
        self.ca = self.put("ca", self.authority.pem)
        self.server = self.authority.issue("server", server=True).write(self.directory, "server")
        self.own = self.authority.issue("one").write(self.directory, "one")

    def put(self, name: str, data: bytes) -> Path:
        """Write a file."""
        path = self.directory / name
        path.write_bytes(data)
        return path

    def tls(self, **more: Path) -> str:
        """A TLS endpoint, with a CA of clients unless *more* says otherwise."""
        arguments = more or {"clientCA": self.ca}
        text = "".join(f":{name}={path}" for name, path in arguments.items())
        return f"ssl:0:interface=127.0.0.1:certKey={self.server}{text}"

    async def listening(self, *endpoints: str, **environ: str) -> InProcessNode:
        """A node with these endpoints."""
        return await self.node(**{**QUIET, "COPILOT_LISTEN": ";".join(endpoints), **environ})

    def endpoint(self, node: InProcessNode, own: Path | None = None, number: int = 1) -> IStreamClientEndpoint:
        """How to connect to the *number*-th endpoint: over TLS with the certificate *own*, or over TCP."""
        port = self.port(node, number)
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port) if own is None else self.client(port, own)

    def client(self, port: int, own: Path | None) -> TLSClient:
        """Over TLS."""
        return TLSClient(reactor, "127.0.0.1", port, self.ca, own)

    def port(self, node: InProcessNode, number: int = 1) -> int:
        """The port of the *number*-th endpoint."""
        return int(node.node.ports.crawler_ports[number].getHost().port)

    async def over(self, endpoint: IStreamClientEndpoint, name: str = "one", **hello: Any) -> TestCrawler:
        """A connection over *endpoint*; with *hello*, one that has been welcomed."""
        crawler = await TestCrawler.over(endpoint, name)
        self.addCleanup(crawler.hang_up)
        if hello:
            await crawler.hello(**hello)
        return crawler

    async def refused_at_the_door(self, endpoint: IStreamClientEndpoint) -> None:
        """No message of a connection over *endpoint* is handled."""
        crawler = await self.over(endpoint)
        crawler.say("hello", crawlerId="one", token="t")
        await crawler.closed
        self.assertEqual(crawler.received, [])


class LifecycleTests(NetworkTestCase):
    """What works over a UNIX socket works over the network."""

    async def lifecycle(self, crawler: TestCrawler) -> None:
        """A job from request to end."""
        [job] = self.add_jobs()
        given = await crawler.take_job()
        for kind in (crawler.progress(given["id"], 1), crawler.complete(given["id"])):
            self.assertEqual((await crawler.answer(kind))["type"], "ack")
        self.assertEqual(self.status_of(job), "completed")

    async def test_tcp(self) -> None:
        """With a token in hello."""
        node = await self.listening("tcp:0:interface=127.0.0.1", **TOKEN)
        await self.lifecycle(await self.over(self.endpoint(node), token="t"))

    async def test_tls(self) -> None:
        """With a certificate, over IPv4; a token is not needed, even if others need one."""
        for more in ({}, TOKEN):
            node = await self.listening(self.tls(), **more)
            await self.lifecycle(await self.over(self.endpoint(node, self.own), maxJobs=1))

    async def test_tls_with_a_token(self) -> None:
        """Without client certificates TLS protects, and the token admits."""
        node = await self.listening(f"tls:0:interface=127.0.0.1:certKey={self.server}", **TOKEN)
        await self.lifecycle(await self.over(self.client(self.port(node), None), token="t"))
        stranger = await self.over(self.client(self.port(node), None))
        stranger.say("hello", crawlerId="two", token="wrong")
        self.assertEqual((await stranger.expect("error"))["data"]["code"], "unauthorized")
        await stranger.closed

    async def test_a_further_socket(self) -> None:
        """A second UNIX socket, whose file is made anew when it was removed."""
        path = self.directory / "second"
        node = await self.listening(f"unix:{path}:mode=600")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        path.unlink()
        node.node.ports.look()
        crawler = await TestCrawler.connect(str(path), "one")
        self.addCleanup(crawler.hang_up)
        await crawler.hello()
        await self.lifecycle(crawler)

    async def test_plain(self) -> None:
        """A plain crawler has a certificate; each of its connections is a crawler of its own."""
        node = await self.listening(self.tls(), **TOKEN)
        jobs = self.add_jobs(2)
        crawlers = [await self.over(self.endpoint(node, self.own)) for _ in range(2)]
        given = [await crawler.take_job() for crawler in crawlers]
        for crawler, job in zip(crawlers, given, strict=True):
            crawler.complete(job["id"])
        await until(lambda: [self.status_of(job) for job in jobs] == ["completed"] * 2)

    async def test_the_client(self) -> None:
        """The client's crawler, which reads its certificate at each connection."""
        node = await self.listening(self.tls())
        [job] = self.add_jobs()
        done: list[str] = []

        async def crawl(job: Job) -> dict[str, int]:
            done.append(job.id)
            return {}

        endpoint = self.client(self.port(node), self.directory / "later")
        crawler = Crawler(endpoint, crawl, Hello("one"), reactor, backoff=lambda _: 0.05)
        crawler.startService()
        self.addCleanup(crawler.stopService)
        await until(lambda: crawler._client._machine is not None)
        self.own.rename(self.directory / "later")
        await until(lambda: self.status_of(job) == "completed")
        self.assertEqual(len(done), 1)


class AdmissionTests(NetworkTestCase):
    """Who gets in, and whose a crawlerId is."""

    async def test_certificates(self) -> None:
        """Those of the CA that are valid now, for clients, with a subject."""
        node = await self.listening(self.tls())
        good, other, namesake = self.authority, Authority("other"), Authority()
        refused: dict[str, Issued] = {
            "another CA": other.issue("one"),
            "one of the same name": namesake.issue("one"),
            "expired": good.issue("one", start=-2 * DAY, end=-DAY),
            "not yet valid": good.issue("one", start=DAY, end=2 * DAY),
            "a server's": good.issue("one", server=True),
            "no subject": good.issue(()),
            "long": good.issue([(each.oid, "x" * 60) for each in good.certificate.subject] * (MAX_SUBJECT // 60)),
            "issued by a client": Authority.issue(good.issue("one"), "two"),  # type: ignore[arg-type]
        }
        why: list[str] = []
        node.node.bus.subscribe_by_type({Refused: lambda refused: why.append(refused.what)})
        for what, issued in refused.items():
            await self.refused_at_the_door(self.endpoint(node, issued.write(self.directory, what)))
        await self.refused_at_the_door(self.client(self.port(node), None))
        await until(lambda: len(why) == len(refused) + 1)
        parts = (
            "no CA that",
            "not signed",
            "has expired",
            "not valid yet",
            "meant for clients",
            "subject",
            "subject",
            "",
            "did not return",
        )
        for reason, part in zip(why, parts, strict=True):
            self.assertIn(part, reason)
        await self.over(self.endpoint(node, self.own), maxJobs=1)
        self.assertEqual(self.query("SELECT count(*) FROM crawlers"), [(1,)])
        self.assertEqual(self.query("SELECT count(*) FROM socket_connections"), [(1,)])

    async def test_a_chain(self) -> None:
        """An intermediate CA's certificate comes with the client's."""
        between = Authority("between", self.authority)
        issued = between.issue("below")
        node = await self.listening(self.tls())
        path = self.put("below", issued.key_pem + issued.pem + between.pem)
        await self.over(self.endpoint(node, path), maxJobs=1)

    async def test_fingerprints(self) -> None:
        """In place of a CA, and together with one; a certificate that is listed must be valid all the same."""
        issuer = Authority("unknown")
        listed = issuer.issue("one")
        expired = issuer.issue("old", start=-2 * DAY, end=-DAY)
        both = self.authority.issue("both")
        fingerprints = [each.fingerprint for each in (listed, expired, both)]
        path = self.put("list", "\n".join(fingerprints).encode())
        node = await self.listening(
            self.tls(clientFingerprints=path), self.tls(clientCA=self.ca, clientFingerprints=path)
        )
        await self.over(self.endpoint(node, listed.write(self.directory, "listed")), maxJobs=1)
        await self.over(self.endpoint(node, both.write(self.directory, "both"), 2), "two", maxJobs=1)
        for issued, number in ((expired, 1), (issuer.issue("one"), 1), (listed, 2), (self.authority.issue("one"), 2)):
            await self.refused_at_the_door(self.endpoint(node, issued.write(self.directory, "refused"), number))

    async def test_tcp_without_a_token(self) -> None:
        """Nothing is done for a plain crawler over TCP, nor for a wrong token."""
        node = await self.listening("tcp:0:interface=127.0.0.1", COPILOT_CRAWLER_UIDS="0", **TOKEN)
        self.add_jobs()
        for say in (
            lambda crawler: crawler.say("job_request"),
            lambda crawler: crawler.heartbeat(),
            lambda crawler: crawler.say("hello", crawlerId="one"),
            lambda crawler: crawler.say("hello", crawlerId="one", token="wrong"),
        ):
            crawler = await self.over(self.endpoint(node))
            say(crawler)
            self.assertEqual((await crawler.expect("error"))["data"]["code"], "unauthorized")
            await crawler.closed
        counts = "SELECT (SELECT count(*) FROM crawlers), (SELECT count(*) FROM socket_connections)"
        self.assertEqual(self.query(counts), [(0, 0)])
        self.assertEqual(self.count("queued"), 1)

    async def test_many_wrong_tokens(self) -> None:
        """They are recorded as such, by address; the right one is welcome all the same."""
        self.patch(doorkeeper, "WRONG_SECONDS", 3600.0)
        node = await self.listening("tcp:0:interface=127.0.0.1", **TOKEN)
        refused: list[Refused] = []
        node.node.bus.subscribe_by_type({Refused: refused.append})
        texts = []

        async def guess(address: str) -> None:
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port(node), bindAddress=(address, 0))
            stranger = await self.over(endpoint)
            stranger.say("hello", crawlerId="one", token="wrong")
            error = (await stranger.expect("error"))["data"]
            texts.append((error["code"], "before" in error["message"]))
            await stranger.closed

        for _ in range(WRONG_TOKENS + 2):
            await guess("127.0.0.1")
        await guess("127.0.0.2")
        await self.over(self.endpoint(node), token="t")
        many = [False] * WRONG_TOKENS + [True] * 2 + [False]
        self.assertEqual(texts, [("unauthorized", each) for each in many])
        reasons = ["too_many_wrong_tokens" if each else "wrong_token" for each in many]
        self.assertEqual([each.reason for each in refused], reasons)

    async def test_owners(self) -> None:
        """A crawlerId is its owner's: of a subject, whichever certificate, of a user, of those with the token."""
        node = await self.listening(self.tls(), "tcp:0:interface=127.0.0.1", **TOKEN)
        two = self.authority.issue("two").write(self.directory, "two")
        again = self.authority.issue("one").write(self.directory, "again")
        unix = await self.greeted(node, "local", token="t")
        mine = await self.over(self.endpoint(node, self.own), "mine", maxJobs=1)
        tcp = await self.over(self.endpoint(node, None, 2), "tcp", token="t")
        owners = dict(self.query("SELECT crawler_id, owner FROM crawlers"))
        self.assertEqual({owners["mine"], owners["tcp"]}, {"cert:CN=one", "token"})
        self.assertTrue(owners["local"].startswith("uid:"))
        ways: dict[str, Callable[[], IStreamClientEndpoint]] = {
            "one": lambda: self.endpoint(node, self.own),
            "two": lambda: self.endpoint(node, two),
            "tcp": lambda: self.endpoint(node, None, 2),
        }
        for name, strangers in (("mine", ("two", "tcp")), ("local", ("one", "tcp")), ("tcp", ("one", "two"))):
            for way in strangers:
                thief = await self.over(ways[way](), name)
                thief.say("hello", crawlerId=name, token="t")
                self.assertEqual((await thief.expect("error"))["data"]["path"], "/data/crawlerId")
                await thief.closed
        thief = await self.crawler(node, "mine")
        thief.say("hello", crawlerId="mine", token="t")
        self.assertEqual((await thief.expect("error"))["data"]["code"], "unauthorized")
        await self.over(self.endpoint(node, again), "mine", maxJobs=1)
        self.assertTrue(unix.open and mine.open and tcp.open)


class LimitTests(NetworkTestCase):
    """Strangers stand in nobody's way."""

    async def strangers(self, node: InProcessNode, count: int) -> list[socket.socket]:
        """Connections that say nothing, each known to the node."""
        found = []
        for _ in range(count):
            stranger = socket.create_connection(("127.0.0.1", self.port(node)))
            self.addCleanup(stranger.close)
            found.append(stranger)
        return found

    async def test_handshakes(self) -> None:
        """Unfinished handshakes take nobody's place, are bounded, and end at the connection time-out."""
        node = await self.listening(self.tls(), SOCKET_MAX_CONNECTIONS="2", SOCKET_CONNECTION_TIMEOUT="1000")
        factory = node.node.factory
        self.patch(factory, "_max_refused", 3)
        strangers = await self.strangers(node, 5)
        strangers[-1].send(b"\x16\x03\x01")
        await until(lambda: len(factory.outside) == 3)
        for name in ("one", "two"):
            await self.over(self.endpoint(node, self.own), name, maxJobs=1)
        third = await self.over(self.endpoint(node, self.own), "three")
        self.assertEqual((await third.expect("error"))["data"]["code"], "too_many_connections")
        self.assertEqual(len(factory.connections), 2)
        for stranger in strangers:
            await deferToThread(_to_the_end, stranger)
        await third.closed
        self.assertEqual(factory.outside, {})

    async def test_without_a_token(self) -> None:
        """Nor do those over TCP that never show a token; one too many with a token is refused as elsewhere."""
        node = await self.listening(
            "tcp:0:interface=127.0.0.1", SOCKET_MAX_CONNECTIONS="1", SOCKET_CONNECTION_TIMEOUT="1000", **TOKEN
        )
        strangers = await self.strangers(node, 3)
        await self.over(self.endpoint(node), "one", token="t")
        second = await self.over(self.endpoint(node), "two")
        second.say("hello", crawlerId="two", token="t")
        second.say("job_request")
        self.assertEqual((await second.expect("error"))["data"]["code"], "too_many_connections")
        await second.closed
        self.assertEqual(len(second.received), 1)
        for stranger in strangers:
            self.assertEqual(await deferToThread(stranger.recv, 1), b"")
        self.assertEqual(list(node.node.factory.outside), [])

    async def test_by_address(self) -> None:
        """At the bound, the address with the most connections loses its oldest one."""
        node = await self.listening("tcp:0:interface=127.0.0.1", **TOKEN)
        self.patch(node.node.factory, "_max_refused", 2)
        other = socket.create_connection(("127.0.0.1", self.port(node)), source_address=("127.0.0.2", 0))
        self.addCleanup(other.close)
        strangers = await self.strangers(node, 4)
        self.assertEqual(await deferToThread(strangers[2].recv, 1), b"")
        addresses = [each.transport.getPeer().host for each in node.node.factory.outside]
        self.assertEqual(addresses, ["127.0.0.2", "127.0.0.1"])

    async def test_no_tls_at_all(self) -> None:
        """Whoever speaks something else is disconnected, and recorded as refused; what they said does not matter."""
        node = await self.listening(self.tls())
        refused: list[Refused] = []
        node.node.bus.subscribe_by_type({Refused: refused.append})
        for said in (
            b"GET / HTTP/1.0\r\n\r\n",
            b'{"type": "job_request", "timestamp": "", "data": {}}\n',
            b"\0" * 70_000,
        ):
            [stranger] = await self.strangers(node, 1)
            stranger.settimeout(10)
            await deferToThread(stranger.sendall, said)
            await deferToThread(_to_the_end, stranger)
        await until(lambda: not node.node.factory.outside)
        whats = [each.what for each in refused]
        self.assertEqual(refused, [Refused("wire", "handshake", STRANGER, "127.0.0.1", each) for each in whats])
        for what, reason in zip(whats, ("http request", "wrong version number", "wrong version number"), strict=True):
            self.assertEqual(what, f"connection to ssl:0: {reason}")

    async def test_half_closed(self) -> None:
        """In the middle of the handshake: the connection ends."""
        node = await self.listening(self.tls())
        [stranger] = await self.strangers(node, 1)
        stranger.shutdown(socket.SHUT_WR)
        self.assertEqual(await deferToThread(stranger.recv, 1), b"")
        await until(lambda: not node.node.factory.outside)

    async def test_versions(self) -> None:
        """TLS 1.1 and older are refused, 1.2 and 1.3 are spoken."""
        node = await self.listening(self.tls())
        versions = (SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
        spoken = [await deferToThread(self.speak, self.port(node), version) for version in versions]
        self.assertEqual(spoken, [False, True, True])

    def speak(self, port: int, version: int) -> bool:
        """Whether a crawler is welcomed over this version of TLS. Blocks."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        pem = self.own.read_bytes()
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, pem))
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, pem))
        with socket.create_connection(("127.0.0.1", port)) as raw:
            connection = SSL.Connection(context, raw)
            connection.set_connect_state()
            try:
                connection.do_handshake()
                connection.sendall(b'{"type":"hello","timestamp":"","data":{"crawlerId":"one"}}')
                return b"welcome" in connection.recv(4096)
            except SSL.Error:
                return False


class PauseTests(NetworkTestCase):
    """A node that takes no messages for now."""

    async def test_nobody_is_read(self) -> None:
        """Handshakes are made, but nothing is handled, nor of those that are not admitted yet, before it goes on."""
        node = await self.listening(self.tls(), "tcp:0:interface=127.0.0.1", **TOKEN)
        node.node.factory.read(False)
        crawlers = [
            await self.over(self.endpoint(node, self.own), "tls"),
            await self.over(self.endpoint(node, None, 2), "tcp"),
        ]
        for crawler in crawlers:
            crawler.say("hello", crawlerId=crawler.name, token="t")
        factory = node.node.factory
        await until(lambda: len(factory.connections) == len(factory.outside) == 1)
        waiting = (*factory.connections.values(), *factory.outside)
        await until(lambda: all(Pause.NODE in each.pauses for each in waiting))
        self.assertEqual([crawler.received for crawler in crawlers], [[], []])
        self.assertEqual(self.query("SELECT count(*) FROM crawlers"), [(0,)])
        factory.read(True)
        for crawler in crawlers:
            await crawler.expect("welcome")


class StopTests(NetworkTestCase):
    """A node that stops."""

    async def test_farewell(self) -> None:
        """Crawlers over the network hear of it, and strangers are disconnected, which is no refusal."""
        node = await self.listening(self.tls(), "tcp:0:interface=127.0.0.1", **TOKEN)
        refused: list[Refused] = []
        node.node.bus.subscribe_by_type({Refused: refused.append})
        crawlers = [
            await self.over(self.endpoint(node, self.own), "tls", maxJobs=1),
            await self.over(self.endpoint(node, None, 2), "tcp", token="t"),
        ]
        strangers = [await self.over(self.endpoint(node, None, 2)), await self.over(self.endpoint(node, None, 1))]
        await until(lambda: len(node.node.factory.outside) == 2)
        await node.stop()
        for crawler in crawlers:
            await crawler.expect("shutdown")
        for each in (*crawlers, *strangers):
            await each.closed
        self.assertEqual([each.received for each in strangers], [[], []])
        self.assertEqual(refused, [])


class LastWordsTests(NetworkTestCase):
    """What a client has sent before it closes is not lost."""

    async def last_words(self, endpoint: IStreamClientEndpoint, **hello: Any) -> None:
        """A hello and many reports in one write, directly before the end."""
        count = 20
        jobs = self.add_jobs(count)
        first = await self.over(endpoint, maxJobs=count, **hello)
        first.say("job_request", limit=count)
        await until(lambda: len(first.jobs()) == count)
        await first.hang_up()
        last = await self.over(endpoint)
        assert last.transport is not None
        written: list[bytes] = []
        self.patch(last, "raw", written.append)
        last.say("hello", crawlerId="one", capabilities=["ack"], assignments=first.jobs(), **hello)
        for job in first.jobs():
            last.complete(job)
        last.transport.write(b"".join(written))
        last.transport.loseConnection()
        await last.closed
        await until(lambda: [self.status_of(job) for job in jobs] == ["completed"] * count)

    async def test_tcp(self) -> None:
        """Over TCP."""
        node = await self.listening("tcp:0:interface=127.0.0.1", **TOKEN)
        await self.last_words(self.endpoint(node), token="t")

    async def test_tls(self) -> None:
        """Over TLS, where the end is read together with the reports."""
        node = await self.listening(self.tls())
        await self.last_words(self.endpoint(node, self.own))

    async def test_pressure(self) -> None:
        """A client that does not read is not read from, over TLS and TCP; then all its answers come, in order."""
        node = await self.listening(self.tls(), "tcp:0:interface=127.0.0.1", **TOKEN)
        count = 4000
        for name, endpoint in (("tls", self.endpoint(node, self.own)), ("tcp", self.endpoint(node, None, 2))):
            crawler = await self.over(endpoint, name, token="t", maxJobs=1)
            transport: Any = crawler.transport
            transport.pauseProducing()
            [link] = node.node.registry.links()
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            link.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # type: ignore[attr-defined]
            refs = []
            for _ in range(count):
                refs.append(crawler.say("nonsense", filler="x" * 300))
                refs.append(crawler.heartbeat())
            await until(lambda link=link: Pause.UNREAD in link.pauses)
            transport.resumeProducing()
            await until(lambda crawler=crawler: len(crawler.received) > 2 * count, patience=20.0)
            self.assertEqual([each["data"]["ref"] for each in crawler.received[1:]], refs)
            await crawler.hang_up()
            await until(lambda: not node.node.registry.links())


class RenewalTests(NetworkTestCase):
    """Files are replaced while the node runs."""

    def look(self, node: InProcessNode) -> None:
        """Let the node look twice."""
        for _ in range(2):
            node.node.ports.look()

    async def test_the_server(self) -> None:
        """A new certificate is for new connections; open ones go on. A faulty one is logged once, and not used."""
        node = await self.listening(self.tls())
        before = await self.over(self.endpoint(node, self.own), "before", maxJobs=1)
        other = Authority("other")
        other.issue("renewed", server=True).write(self.directory, "server")
        self.look(node)
        await self.refused_at_the_door(self.endpoint(node, self.own))  # by the client
        self.ca, trusted = self.put("ca of the server", other.pem), self.ca
        await self.over(self.endpoint(node, self.own), "after", maxJobs=1)
        self.assertEqual(
            (await before.told("heartbeat", activeJobs=0, totalProcessed=0, systemStatus="idle"))["type"], "ack"
        )
        self.put("server.pem", b"nonsense")
        self.look(node)
        self.look(node)
        await self.over(self.endpoint(node, self.own), "after all", maxJobs=1)
        self.assertTrue(trusted.exists())

    async def test_revoked(self) -> None:
        """Whoever's fingerprint is removed, or CA replaced, gets in no more, and open connections end."""
        client = self.authority.issue("two")
        path = self.put("list", client.fingerprint.encode())
        self.patch(tls_module, "JUDGED_AT_ONCE", 1)
        node = await self.listening(self.tls(), self.tls(clientFingerprints=path))
        two = client.write(self.directory, "two")
        mine = await self.over(self.endpoint(node, self.own), "mine", maxJobs=1)
        listed = await self.over(self.endpoint(node, two, 2), "listed", maxJobs=1)
        self.put("list", b"# nobody")
        self.look(node)
        await listed.closed
        await self.refused_at_the_door(self.endpoint(node, two, 2))
        self.assertTrue(mine.open)
        self.ca = self.put("ca of the server", self.ca.read_bytes())
        second = await self.over(self.endpoint(node, self.own), "second", maxJobs=1)
        self.put("ca", Authority("next").pem)
        self.look(node)
        for each in (mine, second):
            await each.closed
        await self.refused_at_the_door(self.endpoint(node, self.own))

    async def test_revoked_during_its_handshake(self) -> None:
        """Files that are replaced before a handshake is over decide on it, too."""
        client = self.authority.issue("two")
        path = self.put("list", client.fingerprint.encode())
        node = await self.listening(self.tls(clientFingerprints=path))
        refused: list[Refused] = []
        node.node.bus.subscribe_by_type({Refused: refused.append})
        for listed, words in ((client.fingerprint, [b"welcome"]), ("# nobody", [])):
            raw = socket.create_connection(("127.0.0.1", self.port(node)))
            self.addCleanup(raw.close)
            connection = SSL.Connection(self.context(client), None)
            connection.set_connect_state()
            await deferToThread(_begin, connection, raw)
            self.put("list", f"{listed}\n# renewed".encode())
            self.look(node)
            said = await deferToThread(_end, connection, raw)
            self.assertEqual([word for word in (b"welcome",) if word in said], words)
        self.assertEqual([each.what for each in refused], [f"connection to ssl:0: {NO_LONGER}"])
        await until(lambda: not node.node.factory.outside)

    def context(self, client: Issued) -> SSL.Context:
        """What a client with this certificate uses."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(client.certificate)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, client.key_pem))
        return context


def _begin(connection: SSL.Connection, raw: socket.socket) -> None:
    """A handshake of TLS 1.3 up to the client's last flight, which is not sent. Blocks."""
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            _pass_on(connection, raw)
            connection.bio_write(raw.recv(65536))
        else:
            return


def _end(connection: SSL.Connection, raw: socket.socket) -> bytes:
    """Send that, and a ``hello``; what is said first, or nothing before the end. Blocks."""
    connection.send(b'{"type":"hello","timestamp":"","data":{"crawlerId":"one"}}\n')
    _pass_on(connection, raw)
    while data := raw.recv(65536):
        connection.bio_write(data)
        try:
            return connection.recv(65536)
        except SSL.WantReadError:
            continue
        except SSL.ZeroReturnError:
            break
    return b""


def _pass_on(connection: SSL.Connection, raw: socket.socket) -> None:
    with contextlib.suppress(SSL.WantReadError):
        raw.sendall(connection.bio_read(65536))


def _to_the_end(stranger: socket.socket) -> None:
    try:
        while stranger.recv(4096):
            pass
    except ConnectionError:
        pass
