"""Every error code, seen by a client, while a second crawler is not affected."""

import json

from copilot_socket.store.ulids import ulids
from copilot_socket.wire import factory as factory_module
from tests.handlers.support import ALIVE, PROGRESS, Crawler, NodeTestCase, found
from tests.support.crawler import until

STARTED = {"entityType": "issue", "entityId": "7"}


class ErrorTestCase(NodeTestCase):
    """``self.bystander`` holds a job and must not be affected; ``self.crawler_`` sends bad messages."""

    settings: dict[str, object] = {}

    async def begin(self, **hello: object) -> Crawler:
        """Start a node, the bystander with a job, and the crawler that sends bad messages."""
        await self.node(**self.settings)
        self.bystander, self.held = await self.working("by/stander", "bystander")
        self.bystander.say("job_started", self.held, id="start")
        self.assertEqual((await self.bystander.next())["data"]["ref"], "start")
        return await self.crawler("wrong", **hello)

    async def unnoticed(self) -> None:
        """Assert that the bystander received nothing, and that its job can be completed."""
        self.assertEqual(self.bystander.unread, [])
        self.bystander.say("job_progress", self.held, id="p", **PROGRESS)
        self.bystander.say("job_completed", self.held, id="c", success=True, finalCounts={"issue": 1})
        acks = [await self.bystander.next() for _ in range(2)]
        self.assertEqual([(ack["type"], ack["data"]["ref"]) for ack in acks], [("ack", "p"), ("ack", "c")])
        self.assertEqual(self.status(self.held), "completed")
        self.assertTrue(self.bystander.open)


class BadMessageTests(ErrorTestCase):
    """Invalid messages."""

    async def test_invalid_json(self) -> None:
        """Invalid JSON, or JSON cut by a newline, costs only that message."""
        crawler = await self.begin()
        for data in (b'{"type": "heartbeat", }\n', b'{"type": "heart\n', b"rubbish\n", b'{"type": NaN}\n'):
            crawler.raw(data)
            error = await crawler.error()
            self.assertEqual(error["code"], "invalid_json", data)
        await crawler.sync()
        await self.unnoticed()

    async def test_not_utf8(self) -> None:
        """Bytes that are no UTF-8 are no JSON."""
        crawler = await self.begin()
        crawler.raw(b'{"type": "heartbeat", "timestamp": "\xff\xfe", "data": {}}\n')
        self.assertEqual((await crawler.error())["code"], "invalid_json")
        await crawler.sync()
        await self.unnoticed()

    async def test_invalid_message(self) -> None:
        """The error has a path to the fault, the allowed values and the message's ref."""
        crawler = await self.begin()
        crawler.say("heartbeat", id="m1", activeJobs=0, totalProcessed=0, systemStatus="asleep")
        error = await crawler.error()
        self.assertEqual(
            (error["code"], error["path"], error["ref"]), ("invalid_message", "/data/systemStatus", "m1")
        )
        for allowed in ("idle", "discovering", "processing", "crawling", "error"):
            self.assertIn(allowed, error["message"])
        crawler.say("job_progress", self.held, id="m2", stage="fetching", entityType="issue", processed="5")
        error = await crawler.error()
        self.assertEqual((error["path"], error["ref"], error["jobId"]), ("/data/processed", "m2", self.held))
        self.assertIn("integer", error["message"])
        crawler.say("job_started", id="m3")
        error = await crawler.error()
        self.assertIn("jobId", error["message"])
        await crawler.sync()
        await self.unnoticed()

    async def test_forbidden_values(self) -> None:
        """U+0000, lone surrogates, integers past 2^53 and over-long ids are invalid, wherever they stand."""
        crawler = await self.begin()
        fields = {
            "/data/resumeState/a": '"resumeState":{"a":"x\\u0000"}',
            "/data/message": '"message":"\\ud800"',
            "/data/total": '"total":9007199254740993',
        }
        for path, field in fields.items():
            text = (
                '{"type":"job_progress","timestamp":"t","jobId":"%s","data":{"stage":"fetching","entityType":"issue"'
            )
            crawler.raw((text % self.held + ',"processed":1,' + field + "}}\n").encode())
            error = await crawler.error()
            self.assertEqual((error["code"], error["path"]), ("invalid_message", path))
        crawler.say("heartbeat", id="x" * 65, **ALIVE)
        self.assertEqual((await crawler.error())["path"], "/id")
        await crawler.sync()
        await self.unnoticed()

    async def test_unknown_type(self) -> None:
        """An unknown type, or one that only the server sends, is answered with an error."""
        crawler = await self.begin()
        for type_ in ("job_snooze", "job_response", "ack"):
            crawler.say(type_, id="u")
            error = await crawler.error()
            self.assertEqual((error["code"], error["path"], error["ref"]), ("unknown_type", "/type", "u"))
            self.assertIn("job_request", error["message"])
        await crawler.sync()
        await self.unnoticed()

    async def test_hello_comes_once_and_first(self) -> None:
        """A second hello, or one after another message, is invalid and changes nothing."""
        crawler = await self.begin()
        crawler.say("hello", id="again", crawlerId="bystander")
        error = await crawler.error()
        self.assertEqual((error["code"], error["path"], error["ref"]), ("invalid_message", "/type", "again"))
        crawler.say("job_progress", self.held, **PROGRESS)
        self.assertEqual((await crawler.error())["code"], "unauthorized")
        late = await self.connect()
        late.say("heartbeat", **ALIVE)
        late.say("hello", crawlerId="late")
        self.assertEqual((await late.error())["code"], "invalid_message")
        await self.unnoticed()

    async def test_twenty_in_a_row(self) -> None:
        """The twentieth bad message in a row closes the connection; a valid one starts the count again."""
        crawler = await self.begin()
        bad = [b"{]\n", b'{"type":"x","timestamp":"t"}\n', b'{"type":"heartbeat","timestamp":"t"}\n', b"rubbish\n"]
        crawler.raw(b"".join(bad * 5)[: -len(bad[-1])])
        await crawler.sync()
        self.assertEqual(len([m for m in crawler.unread if m["type"] == "error"]), 19)
        crawler.forget()
        crawler.raw(b"".join(bad * 5) + crawler.form("heartbeat", **ALIVE))
        await crawler.closed
        codes = [message["data"]["code"] for message in crawler.unread]
        self.assertEqual(codes, ["invalid_json", "unknown_type", "invalid_message", "invalid_json"] * 5)
        await self.unnoticed()

    async def test_refusals_are_not_bad_messages(self) -> None:
        """Reports on jobs that the crawler does not hold never close its connection."""
        crawler = await self.begin()
        for _ in range(25):
            crawler.say("job_started", "nobody's.1.x")
        for _ in range(25):
            self.assertEqual((await crawler.error())["code"], "unknown_job")
        await crawler.sync()
        await self.unnoticed()


class TooLargeTests(ErrorTestCase):
    """Messages past SOCKET_MAX_MESSAGE_SIZE."""

    settings = {"SOCKET_MAX_MESSAGE_SIZE": 4096}

    async def test_the_rest_is_skipped(self) -> None:
        """A too large message costs one error, and the next one works, with a newline between them or without."""
        crawler = await self.begin()
        large = crawler.form("job_progress", self.held, message="{" * 9000, **PROGRESS).rstrip()
        for delimiter in (b"\n", b""):
            crawler.raw(large + delimiter + crawler.form("heartbeat", id="next", **ALIVE))
            error = await crawler.error()
            self.assertEqual(error["code"], "message_too_large")
            self.assertIn("4096", error["message"])
            ack = await crawler.next()
            self.assertEqual((ack["type"], ack["data"]["ref"]), ("ack", "next"))
        await self.unnoticed()

    async def test_just_fits(self) -> None:
        """A message of exactly the limit is accepted, one byte more is not."""
        crawler = await self.begin()
        room = 4096 - len(crawler.form("heartbeat", memoryUsage="", id="fits", **ALIVE).rstrip())
        for more, kind in ((0, "ack"), (1, "error")):
            crawler.say("heartbeat", memoryUsage="m" * (room + more), id="fits", **ALIVE)
            self.assertEqual((await crawler.next())["type"], kind)
        await self.unnoticed()

    async def test_without_end(self) -> None:
        """A message longer than sixteen times the limit closes the connection, after a single error."""
        crawler = await self.begin()
        crawler.raw(b'{"type": "heartbeat", "data": "' + b"x" * (4096 * 17))
        await crawler.closed
        self.assertEqual([message["data"]["code"] for message in crawler.unread], ["message_too_large"])
        await self.unnoticed()


class RefusalTests(ErrorTestCase):
    """Valid messages that are refused."""

    async def test_unknown_job(self) -> None:
        """Ids that no attempt ever had are unknown: invented, the job's own id, or a wrong random part."""
        crawler = await self.begin()
        job, number, _ = self.held.split(".")
        for name in ("x", "a.b.c", job, f"{job}.{number}.000000000000", f"{job}.2.0", "🦀.1.x"):
            crawler.say("job_completed", name, id="r", success=True, finalCounts={})
            error = await crawler.error()
            self.assertEqual((error["code"], error["jobId"], error["ref"]), ("unknown_job", name, "r"))
        await self.unnoticed()

    async def test_deleted_for_its_age(self) -> None:
        """A report on a job that cleanup may have deleted is stale, and a token request about it gets no token."""
        crawler = await self.begin()
        name = f"{ulids(0, 1)[0]}.1.0123456789ab"
        crawler.say("job_completed", name, id="r", success=True, finalCounts={})
        error = await crawler.error()
        self.assertEqual((error["code"], error["jobId"], error["ref"]), ("stale_assignment", name, "r"))
        crawler.say("token_refresh_request", name)
        answer = await crawler.next()
        self.assertEqual((answer["type"], answer["jobId"]), ("token_refresh_response", name))
        self.assertEqual((answer["data"]["accessToken"], answer["data"]["refreshSuccessful"]), ("", False))
        await self.unnoticed()

    async def test_stale_assignment(self) -> None:
        """A report on an ended attempt changes nothing; the repeated ending is acked again."""
        crawler = await self.begin()
        self.add_jobs("g/stale")
        crawler.say("job_request")
        mine = (await crawler.job())["id"]
        crawler.say("job_completed", mine, id="c1", success=True, finalCounts={"issue": 3})
        self.assertEqual((await crawler.next())["type"], "ack")
        before = self.row(mine, "status", "progress", "updated_at")
        crawler.say("job_completed", mine, id="c2", success=True, finalCounts={"issue": 9})
        ack = await crawler.next()
        self.assertEqual((ack["type"], ack["data"]["ref"]), ("ack", "c2"))
        crawler.say("job_progress", mine, id="late", **PROGRESS)
        crawler.say("job_failed", mine, id="worse", error="no", isRecoverable=True)
        for ref in ("late", "worse"):
            error = await crawler.error()
            self.assertEqual((error["code"], error["ref"], error["jobId"]), ("stale_assignment", ref, mine))
        self.assertEqual(self.row(mine, "status", "progress", "updated_at"), before)
        await self.unnoticed()

    async def test_unauthorized(self) -> None:
        """A report on another connected crawler's assignment is refused and changes nothing."""
        crawler = await self.begin()
        before = self.row(self.held, "status", "progress", "updated_at")
        crawler.say("job_progress", self.held, id="p", **PROGRESS)
        crawler.say("job_completed", self.held, id="c", success=True, finalCounts={})
        crawler.say("jobs_discovered", self.held, id="d", discovered_jobs=[found()])
        for ref in ("p", "c", "d"):
            error = await crawler.error()
            self.assertEqual((error["code"], error["ref"]), ("unauthorized", ref))
        self.assertEqual(self.row(self.held, "status", "progress", "updated_at"), before)
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(1,)])
        await self.unnoticed()

    async def test_internal(self) -> None:
        """A message that the database refuses is answered with internal; others of its batch are stored and acked."""
        crawler = await self.begin()
        self.query("ALTER TABLE jobs ADD CHECK (progress::text NOT LIKE '%poison%')")
        crawler.raw(
            crawler.form("heartbeat", id="1", **ALIVE)
            + crawler.form("job_progress", "unheard.1.of", id="2", **PROGRESS)
        )
        self.add_jobs("g/poison")
        crawler.say("job_request")
        self.assertEqual([(await crawler.next())["type"] for _ in range(2)], ["ack", "error"])
        mine = (await crawler.job())["id"]
        self.bystander.say("job_progress", self.held, id="good", **PROGRESS)
        crawler.raw(
            crawler.form("job_started", mine, id="3", **STARTED)
            + crawler.form("job_progress", mine, id="4", message="poison", **PROGRESS)
            + crawler.form("job_progress", mine, id="5", **{**PROGRESS, "processed": 8})
        )
        answers = [await crawler.next() for _ in range(3)]
        self.assertEqual([answer["type"] for answer in answers], ["ack", "error", "ack"])
        self.assertEqual((answers[1]["data"]["code"], answers[1]["data"]["ref"]), ("internal", "4"))
        self.assertEqual(answers[1]["jobId"], mine)
        self.assertNotIn("poison", json.dumps(answers[1]))
        self.assertEqual((await self.bystander.next())["data"]["ref"], "good")
        self.assertEqual(self.row(mine, "status", "progress")[1]["processed"], 8)
        await self.unnoticed()

    async def test_a_handler_that_breaks(self) -> None:
        """An exception in the server is answered with internal and affects neither the connection nor others."""
        crawler = await self.begin()

        def break_down(*_: object) -> None:
            raise RuntimeError("broken on purpose")

        self.patch(self.nodes[0].dispatcher, "request", break_down)
        crawler.say("job_request", id="r")
        error = await crawler.error()
        self.assertEqual((error["code"], error["ref"]), ("internal", "r"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        await crawler.sync()
        await self.unnoticed()


class RoomTests(ErrorTestCase):
    """Connections past SOCKET_MAX_CONNECTIONS."""

    settings = {"SOCKET_MAX_CONNECTIONS": 2}

    async def test_too_many(self) -> None:
        """A connection too many receives an error, is not read from, and is closed after a delay."""
        self.patch(factory_module, "REFUSAL_LASTS", 0.2)
        crawler = await self.begin()
        begun = self.now()
        extra = await self.connect()
        extra.say("hello", crawlerId="extra")
        error = await extra.error()
        self.assertEqual(error["code"], "too_many_connections")
        self.assertIn("At most 2 ", error["message"])
        sample = self.nodes[0].metrics.registry.get_sample_value
        self.assertEqual(sample("socket_errors_total", {"code": "too_many_connections"}), 1)
        self.assertEqual(sample("socket_connections_limit"), 2)
        await extra.closed
        self.assertGreaterEqual(self.now() - begun, 0.2)
        self.assertEqual(extra.unread, [])
        await crawler.sync()
        await self.unnoticed()

    async def test_five_seconds(self) -> None:
        """The delay is five seconds."""
        self.assertEqual(factory_module.REFUSAL_LASTS, 5.0)

    async def test_room_again(self) -> None:
        """When a connection has ended the next one is accepted; a refused one may close before the delay."""
        crawler = await self.begin()
        refused = await self.connect()
        self.assertEqual((await refused.error())["code"], "too_many_connections")
        await refused.leave()
        await crawler.leave()
        await until(lambda: len(self.nodes[0].factory.connections) == 1)
        await (await self.crawler("third")).sync()
        await self.unnoticed()

    async def test_the_mute_one_makes_room(self) -> None:
        """The oldest mute connection of a plain crawler with another, live one is closed for a new connection."""
        self.settings = {"SOCKET_MAX_CONNECTIONS": 4}
        crawler = await self.begin()
        await crawler.leave()
        await until(lambda: len(self.nodes[0].factory.connections) == 1)
        mute, second_mute, live = [await self.connect() for _ in range(3)]
        live.say("heartbeat", **ALIVE)
        await until(lambda: self.nodes[0].factory.active == 2)
        newcomer = await self.crawler("newcomer")
        await mute.closed
        await newcomer.sync()
        self.assertTrue(second_mute.open and live.open)
        self.assertEqual(mute.unread, [])
        await self.unnoticed()

    async def test_a_mute_one_that_is_all_its_crawler_has(self) -> None:
        """A mute connection is not closed for a new one unless its crawler has a live one."""
        self.settings = {"SOCKET_MAX_CONNECTIONS": 3}
        crawler = await self.begin()
        mute = await self.connect()
        refused = await self.connect()
        self.assertEqual((await refused.error())["code"], "too_many_connections")
        mute.say("heartbeat", **ALIVE)
        await until(lambda: self.nodes[0].factory.active == 3)
        await crawler.sync()
        await self.unnoticed()


class ElementTests(ErrorTestCase):
    """Bad elements of lists, which are refused singly."""

    async def test_jobs_discovered(self) -> None:
        """Each bad element is left out, with an error that names its index; the others become jobs."""
        crawler = await self.begin(entityTypes=["areas"])
        self.add_jobs("g", command="GROUP_PROJECT_DISCOVERY")
        crawler.say("job_request")
        mine = (await crawler.job())["id"]
        elements = [
            found(namespace_path="g/a"),
            found(job_type="crawl_moon"),
            found(namespace_path="g/b"),
            {"job_type": "crawl_project"},
            found(entity_name="\x00"),
            "nonsense",
        ]
        crawler.say("jobs_discovered", mine, id="d", discovered_jobs=elements)
        answers = [await crawler.next() for _ in range(5)]
        self.assertEqual([answer["type"] for answer in answers], ["error"] * 4 + ["ack"])
        paths = [answer["data"]["path"] for answer in answers[:4]]
        start = "/data/discovered_jobs/"
        self.assertEqual(paths, [f"{start}1/job_type", f"{start}3", f"{start}4/entity_name", f"{start}5"])
        for answer in answers[:4]:
            self.assertEqual((answer["data"]["code"], answer["data"]["ref"]), ("invalid_message", "d"))
        counted = self.nodes[0].metrics.registry.get_sample_value("socket_errors_total", {"code": "invalid_message"})
        self.assertEqual(counted, 4)
        spawned = self.query("SELECT DISTINCT full_path FROM jobs WHERE spawned_from IS NOT NULL ORDER BY 1")
        self.assertEqual(spawned, [("g/a",), ("g/b",)])
        await self.unnoticed()

    async def test_discovery(self) -> None:
        """The same for the entities of a discovery, which without a jobId belongs to the only job held."""
        crawler = await self.begin()
        self.add_jobs("g/d")
        crawler.say("job_request")
        await crawler.job()
        good = {"id": 7, "name": "A", "path": "g/a"}
        crawler.say(
            "discovery",
            id="e",
            entityType="group",
            entities=[good, {"id": 8, "name": "B"}, {**good, "id": 9, "path": "g/c"}],
        )
        error = await crawler.error()
        self.assertEqual((error["code"], error["path"], error["ref"]), ("invalid_message", "/data/entities/1", "e"))
        self.assertEqual((await crawler.next())["type"], "ack")
        rows = self.query(
            "SELECT full_path, gitlab_id, type, account_id FROM areas "
            "JOIN area_authorizations USING (full_path) ORDER BY full_path"
        )
        self.assertEqual(rows, [("g/a", 7, "group", "acct"), ("g/c", 9, "group", "acct")])
        await self.unnoticed()

    async def test_discovery_of_no_job(self) -> None:
        """A discovery without a job id, from a crawler that holds no job, is invalid."""
        crawler = await self.begin()
        crawler.say("discovery", entityType="group", entities=[])
        error = await crawler.error()
        self.assertEqual((error["code"], error["path"]), ("invalid_message", "/jobId"))
        await self.unnoticed()

    async def test_a_list_that_is_none(self) -> None:
        """A message whose list itself is invalid is refused as a whole."""
        crawler = await self.begin()
        crawler.say("jobs_discovered", self.held, discovered_jobs={"0": found()})
        error = await crawler.error()
        self.assertEqual((error["code"], error["path"]), ("invalid_message", "/data/discovered_jobs"))
        await self.unnoticed()
