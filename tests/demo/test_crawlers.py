"""Both crawlers against a server on a real socket and a made-up GitLab over real HTTP."""

import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import DeferredQueue
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from copilot_socket.core.jobs import PLAIN_ENTITY_TYPES
from copilot_socket.demo.crawler import ENTITY_TYPES
from copilot_socket.demo.files import count
from tests.client.support import Server, in_deferred, work
from tests.demo.support import Process, serve_gitlab


class Undelimited(Protocol):
    """One connection of a plain crawler, from the server's side."""

    def connectionMade(self) -> None:
        """Tell the test."""
        self.received = ""
        self.messages: DeferredQueue[dict[str, Any]] = DeferredQueue()
        self.factory.peers.append(self)

    def dataReceived(self, data: bytes) -> None:
        """Objects one after another, with nothing between them."""
        self.received += data.decode()
        while self.received:
            try:
                message, end = json.JSONDecoder().raw_decode(self.received)
            except ValueError:
                return
            self.received = self.received[end:]
            if message["type"] != "heartbeat":
                self.messages.put(message)
                self.factory.messages.put((self, message))

    def send(self, kind: str, job: str | None = None, **data: Any) -> None:
        """Say something."""
        message = {"type": kind, "timestamp": "", "jobId": job, "data": data}
        self.transport.write(json.dumps(message).encode() + b"\n")


class UndelimitedServer(Factory):
    """All connections, and all messages with the connection they came on."""

    protocol = Undelimited
    noisy = False

    def __init__(self) -> None:
        self.peers: list[Undelimited] = []
        self.messages: DeferredQueue[tuple[Undelimited, dict[str, Any]]] = DeferredQueue()


class CrawlersTestCase(TestCase):
    """A GitLab and a directory."""

    def setUp(self) -> None:
        """Serve."""
        self.gitlab, self.url = serve_gitlab(self)
        self.out = Path(self.mktemp())
        self.out.mkdir()
        self.socket = self.mktemp()

    def listen(self, factory: Factory) -> None:
        """Be the server."""
        port = reactor.listenUNIX(self.socket, factory)
        self.addCleanup(port.stopListening)

    def jobs(self, types: tuple[str, ...]) -> list[dict[str, Any]]:
        """A job for each area and each of these entity types, as discovery would spawn them."""
        token = self.gitlab.tokens.issue().access_token
        jobs = []
        for entity_type in types:
            of_group = entity_type in ("group", "groupMilestones", "epics")
            areas = self.gitlab.world.groups if of_group else self.gitlab.world.projects
            targets = ["1"] if entity_type in ("areas", "user") else [str(area) for area in areas]
            for target in targets:
                more = {"entityId": target, "gitlabUrl": self.url, "accessToken": token}
                jobs.append(work(f"{entity_type}{target}.1.r", entity_type, **more))
        return jobs

    def expected(self, types: tuple[str, ...]) -> dict[str, int]:
        """What GitLab holds of these."""
        return {entity_type: self.gitlab.world.counts()[entity_type] for entity_type in types}


class ReferenceCrawlerTests(CrawlersTestCase):
    """The crawler on the client library, in a process of its own."""

    @in_deferred
    async def test_everything(self) -> None:
        """It crawls every entity type, and what is in its files is what GitLab holds."""
        server = Server()
        self.listen(server)
        process = Process(
            self, "copilot_socket.demo.crawler", "--socket", self.socket, "--out", str(self.out), "--id", "c"
        )
        peer = await server.peers.get()
        hello = await peer.greet()
        self.assertEqual(sorted(hello["data"]["entityTypes"]), sorted(self.gitlab.world.counts()))
        jobs = self.jobs(ENTITY_TYPES)
        left, found = len(jobs), []
        while left:
            message = await peer.messages.get()
            if message["type"] == "job_request":
                given, jobs = jobs[: message["data"]["limit"]], jobs[message["data"]["limit"] :]
                peer.give(*given)
                continue
            peer.acknowledge(message)
            found += message["data"].get("discovered_jobs") or []
            self.assertNotEqual(message["type"], "job_failed", message)
            left -= message["type"] == "job_completed"
        self.assertEqual(count(self.out), self.expected(ENTITY_TYPES))
        areas = [(job["job_type"], job["entity_id"], job["namespace_path"]) for job in found]
        groups, projects = self.gitlab.world.groups, self.gitlab.world.projects
        expected = [("crawl_user", "1", "user1")]
        expected += [("crawl_group", str(n), area.entity["full_path"]) for n, area in groups.items()]
        expected += [("crawl_project", str(n), area.entity["path_with_namespace"]) for n, area in projects.items()]
        self.assertEqual(sorted(areas), sorted(expected))
        self.assertEqual(await process.stop(), 0, process.errors)

    @in_deferred
    async def test_resume_after_a_cursor(self) -> None:
        """A job with a cursor goes on at the page after it, and its counts include the pages before."""
        gitlab, self.url = serve_gitlab(self, "small")
        server = Server()
        self.listen(server)
        process = Process(
            self, "copilot_socket.demo.crawler", "--socket", self.socket, "--out", str(self.out), "--id", "c"
        )
        peer = await server.peers.get()
        await peer.greet()
        await peer.expect("job_request")
        token = gitlab.tokens.issue().access_token
        cursor = {"currentPage": 4, "processed": 80, "lastEntityId": "x", "entityType": "commit"}
        where = {"entityId": "1", "gitlabUrl": self.url, "accessToken": token}
        peer.give(work("j.2.r", "commit", resumeState=cursor, **where, **{"try": 2}))
        message: dict[str, Any] = {"type": ""}
        pages = []
        while message["type"] != "job_completed":
            message = await peer.messages.get()
            if "id" in message:
                peer.acknowledge(message)
            if message["type"] == "job_progress":
                pages.append(message["data"]["resumeState"]["currentPage"])
        self.assertEqual(pages, [5, 6])
        self.assertEqual(message["data"]["finalCounts"], {"commit": 120})
        self.assertEqual(sorted(path.name for path in self.out.glob("commit/*")), ["j-00005.jsonl", "j-00006.jsonl"])
        self.assertEqual([event["page"] for event in process.events if event["event"] == "start"], [5])

    @in_deferred
    async def test_an_expired_token(self) -> None:
        """A 401 makes it ask for a new token, with which it goes on; a missing area is a failure for good."""
        server = Server()
        self.listen(server)
        Process(self, "copilot_socket.demo.crawler", "--socket", self.socket, "--out", str(self.out), "--id", "c")
        peer = await server.peers.get()
        await peer.greet()
        await peer.expect("job_request")
        expired = self.gitlab.tokens.issue(expired=True).access_token
        peer.give(work(gitlabUrl=self.url, accessToken=expired, entityId="999"))
        await peer.take("job_started")
        await peer.expect("job_request")
        await peer.expect("token_refresh_request")
        token = self.gitlab.tokens.issue().access_token
        peer.send("token_refresh_response", "j.1.x", accessToken=token, expiresAt="", refreshSuccessful=True)
        failed = await peer.take("job_failed")
        self.assertIn("GitLab answered 404", failed["data"]["error"])
        self.assertFalse(failed["data"]["isRecoverable"])


class PlainCrawlerTests(CrawlersTestCase):
    """The plain crawler, in a process of its own."""

    def start(self) -> tuple[UndelimitedServer, Process]:
        """A server and a plain crawler that polls fast."""
        server = UndelimitedServer()
        self.listen(server)
        arguments = ("--socket", self.socket, "--out", str(self.out), "--poll", "0.02")
        return server, Process(self, "copilot_socket.demo.plain", *arguments)

    @in_deferred
    async def test_everything(self) -> None:
        """It crawls all plain entity types, one job at a time, with two connections of which one stays mute."""
        server, process = self.start()
        jobs = self.jobs(PLAIN_ENTITY_TYPES)
        left, running = len(jobs), False
        while left:
            peer, message = await server.messages.get()
            if message["type"] == "job_request":
                self.assertFalse(running)
                running = bool(jobs)
                peer.send("job_response", jobs=[jobs.pop(0)] if jobs else [])
            elif message["type"] == "job_completed":
                left -= 1
                running = False
            else:
                self.assertIn(message["type"], ("job_started", "job_progress", "jobs_discovered"))
        self.assertEqual(count(self.out), self.expected(PLAIN_ENTITY_TYPES))
        self.assertEqual(len(server.peers), 2)
        self.assertEqual(await process.stop(), 0, process.errors)

    @in_deferred
    async def test_no_request_while_it_works(self) -> None:
        """It asks for work again and again while it has none, and not while it has some."""
        gitlab, self.url = serve_gitlab(self, latency=0.1)
        server, _process = self.start()
        for _ in range(3):
            peer, message = await server.messages.get()
            self.assertEqual(message["type"], "job_request")
        token = gitlab.tokens.issue().access_token
        peer.send("job_response", jobs=[work(entityId="1", gitlabUrl=self.url, accessToken=token)])
        seen = [""]
        while seen[-1] != "job_completed":
            seen.append((await server.messages.get())[1]["type"])
        self.assertEqual(seen[seen.index("job_started") :], ["job_started", "job_progress", "job_completed"])

    @in_deferred
    async def test_no_token(self) -> None:
        """A 401 makes it ask for a new token; where there is none the job fails recoverably."""
        server, _process = self.start()
        peer, message = await server.messages.get()
        self.assertEqual(message["type"], "job_request")
        expired = self.gitlab.tokens.issue(expired=True).access_token
        peer.send("job_response", jobs=[work(gitlabUrl=self.url, accessToken=expired)])
        seen = []
        while "job_failed" not in seen:
            _, message = await server.messages.get()
            seen.append(message["type"])
            if message["type"] == "token_refresh_request":
                peer.send("token_refresh_response", "j.1.x", accessToken="", expiresAt="", refreshSuccessful=False)
        self.assertTrue(message["data"]["isRecoverable"])
        reports = [kind for kind in seen if kind != "job_request"]
        self.assertEqual(reports, ["job_started", "token_refresh_request", "job_failed"])
