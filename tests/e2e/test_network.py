"""Crawlers over TCP and TLS: real connections to a real node."""

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from copilot_socket.client import TCP, TLS
from copilot_socket.client.twisted import Crawler, Hello, Job
from copilot_socket.core.identity import MAX_SUBJECT
from copilot_socket.core.rate import WRONG_TOKENS
from copilot_socket.event_bus import Refused
from copilot_socket.handlers import doorkeeper
from copilot_socket.wire.limits import Pause
from tests.client import drivers
from tests.client.drivers import AsyncioDriver, SyncDriver, TwistedDriver
from tests.support.certificates import DAY, Authority, Issued
from tests.support.crawler import TestCrawler, reactor, until
from tests.support.network import TOKEN, NetworkTestCase


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
        attempts: list[int] = []

        def backoff(failed: int) -> float:
            attempts.append(failed)
            return 0.05

        crawler = Crawler(endpoint, crawl, Hello("one"), reactor, backoff)
        crawler.startService()
        self.addCleanup(crawler.stopService)
        await until(lambda: attempts, "an attempt has failed")
        self.own.rename(self.directory / "later")
        await until(lambda: self.status_of(job) == "completed")
        self.assertEqual(len(done), 1)

    async def test_every_shell(self) -> None:
        """The clients connect to addresses, over TLS with a certificate, and over TCP with a token."""
        node = await self.listening(self.tls(), "tcp:0:interface=127.0.0.1", **TOKEN)

        def scenario(job: Any) -> Any:
            yield job.complete({"issue": 1})

        addresses: list[Any] = [
            TLS("127.0.0.1", self.port(node, 1), self.ca, self.own),
            TCP("127.0.0.1", self.port(node, 2)),
        ]
        for driver in (SyncDriver, AsyncioDriver, TwistedDriver):
            for address in addresses:
                [job] = self.add_jobs()
                crawler = driver(address, scenario, crawler_id=f"{driver.__name__} {address}", token="t")
                self.addCleanup(crawler.stop)
                await until(lambda job=job: self.status_of(job) == "completed", f"{driver.__name__} at {address}")
                await crawler.stop()

    async def test_a_server_of_another_authority(self) -> None:
        """It is not trusted: no shell tells it anything."""
        other = Authority()
        ca = self.put("other-ca", other.pem)
        node = await self.listening(self.tls(), **TOKEN)
        [job] = self.add_jobs()
        attempts: list[int] = []

        def count(failed: int) -> float:
            attempts.append(failed)
            return 0.01

        self.patch(drivers, "quickly", count)
        crawlers = [
            driver(TLS("127.0.0.1", self.port(node, 1), ca, self.own), lambda _job: iter(()), token="t")
            for driver in (SyncDriver, AsyncioDriver, TwistedDriver)
        ]
        for crawler in crawlers:
            self.addCleanup(crawler.stop)
        await until(lambda: attempts.count(3) == 3, "each has failed three times")
        self.assertEqual((self.status_of(job), self.query("SELECT * FROM crawlers")), ("queued", []))


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
            await until(lambda crawler=crawler: len(crawler.received) > 2 * count)
            self.assertEqual([each["data"]["ref"] for each in crawler.received[1:]], refs)
            await crawler.hang_up()
            await until(lambda: not node.node.registry.links())
