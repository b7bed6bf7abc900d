"""The protocol core, without reactor, sockets or clock."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.client import Hello, JobFailure, JobGone, JobRelease, ReportRefused, TokenRefused
from copilot_socket.client import connection as connection_module
from copilot_socket.client.connection import CLOSE_WITHIN, backoff
from copilot_socket.client.events import (
    Answered,
    Assigned,
    Connect,
    Disconnect,
    Event,
    Finished,
    Lost,
    Refused,
    StopRequested,
    Warned,
)
from copilot_socket.client.session import GIVE_BACK_WITHIN, Session

FEATURES = ("cause", "commands", "job_released", "rate_limit")
Message = dict[str, Any]


def work(job: str = "j", **more: Any) -> Message:
    """A job as it stands in a ``job_response``."""
    fields = {"id": job, "entityType": "issue", "entityId": "7", "gitlabUrl": "http://g", "accessToken": "t-1"}
    return {**fields, **more}


class HelloTests(SynchronousTestCase):
    """How a crawler introduces itself."""

    def test_entity_types(self) -> None:
        """A command in the place of an entity type is an error that names the type; other names are left alone."""
        error = self.assertRaises(ValueError, Hello, entity_types=["area", "issues"])
        self.assertEqual(str(error), "'issues' is a command: its entity type is 'issue'")
        self.assertEqual(Hello(entity_types=["epics", "news"]).entity_types, ("epics", "news"))


class CoreTestCase(SynchronousTestCase):
    """A session, and a script that plays its shell and its server."""

    features = FEATURES

    def setUp(self) -> None:
        """A session that has not started."""
        self.now = 100.0
        self.session = self.make()
        self.noted: list[Event] = []

    def make(self, **hello: Any) -> Session:
        """A session whose back-off is one second for each failed attempt."""
        session = Session(Hello("c", **hello), backoff=float, timestamp=lambda: "now")
        session.demand = session.hello.max_jobs
        return session

    def events(self) -> list[Event]:
        """What the session has to tell, warnings apart."""
        found = []
        while (event := self.session.next_event(self.now)) is not None:
            (self.noted if isinstance(event, Warned) else found).append(event)
        return found

    def said(self) -> list[Message]:
        """The messages to the server since the last call, once all events are taken."""
        self.noted += self.events()
        return [json.loads(line) for line in self.session.output().splitlines()]

    def types(self) -> list[str]:
        """Their types."""
        return [message["type"] for message in self.said()]

    def hear(self, kind: str, job: str | None = None, **data: Any) -> None:
        """The server sends a message."""
        message: Message = {"type": kind, "data": data} | ({} if job is None else {"jobId": job})
        self.session.receive(json.dumps(message).encode() + b"\n", self.now)

    def ack(self, *messages: Message) -> None:
        """The server acknowledges."""
        for message in messages:
            self.hear("ack", message["jobId"], type=message["type"], ref=message["id"])

    def connect(self, **welcome: Any) -> Message:
        """Connect, and be welcomed; the ``hello``."""
        self.session.start(self.now)
        return self.reconnect(**welcome)

    def reconnect(self, **welcome: Any) -> Message:
        """The connection that the session asks for is made, and welcomed; the ``hello``."""
        self.assertEqual(self.events(), [Connect()])
        self.session.connection_made(self.now)
        [hello] = self.said()
        data = {"heartbeatInterval": 10_000, "maxMessageSize": 100_000, "maxConcurrentJobs": 9}
        self.hear("welcome", **{**data, "features": self.features, **welcome})
        return hello

    def begin(self, *jobs: str) -> None:
        """Connect, and start these jobs; what is said so far is forgotten."""
        self.connect()
        self.hear("job_response", jobs=[work(job) for job in jobs or ("j",)])
        for job in jobs or ("j",):
            self.assertIsInstance(self.events()[0], Assigned)
            self.session.jobs.begin(job, self.now)
            break
        for job in jobs[1:]:
            self.session.jobs.begin(job, self.now)
        self.ack(*[message for message in self.said() if message["type"] == "job_started"])
        self.events()

    def lose_connection(self) -> None:
        """The connection ends, and it is time for the next one."""
        self.session.connection_lost("gone", self.now)
        self.assertEqual(self.events(), [])
        deadline = self.session.deadline
        assert deadline is not None
        self.now = deadline

    def report(self, processed: int = 1, **more: Any) -> int:
        """Report progress."""
        data = {"stage": "fetching", "entityType": "issue", "processed": processed, **more}
        return self.session.jobs.report("j", "job_progress", [data], self.now)


class ConnectionTests(CoreTestCase):
    """Connecting, heartbeats and time-outs."""

    def test_hello_and_request(self) -> None:
        """After the welcome as many jobs are requested as are wanted and allowed."""
        self.session = self.make(max_jobs=3, entity_types=("issue",), token="t")
        hello = self.connect(maxConcurrentJobs=2)
        wanted = {"crawlerId": "c", "token": "t", "maxJobs": 3, "entityTypes": ["issue"], "assignments": []}
        self.assertEqual(hello["data"], {**wanted, "capabilities": ["ack", "commands"]})
        [request] = self.said()
        self.assertEqual((request["type"], request["data"]), ("job_request", {"limit": 2}))

    def test_the_delays_grow_until_the_welcome(self) -> None:
        """An attempt that ends before the welcome has failed, also if a connection was made."""
        self.session.start(self.now)
        for attempt in (1, 2, 3):
            self.assertEqual(self.events(), [Connect()])
            if attempt == 2:
                self.session.connection_made(self.now)
            self.session.connection_lost("nobody is there", self.now)
            self.assertEqual(self.events(), [])
            self.assertEqual(self.session.deadline, self.now + attempt)
            self.now += attempt
        self.reconnect()
        self.session.connection_lost("over", self.now)
        self.assertEqual(self.session.deadline, self.now + 1)
        self.assertIn("nobody is there", str(self.noted[0]))

    def test_a_refused_hello(self) -> None:
        """The connection is closed, and the next attempt waits."""
        self.session.start(self.now)
        self.events()
        self.session.connection_made(self.now)
        self.said()
        self.hear("error", code="unauthorized", message="who are you?")
        self.assertEqual(self.events(), [Disconnect()])
        self.session.connection_lost("over", self.now)
        self.assertEqual((self.events(), self.session.deadline), ([], self.now + 1))

    def test_heartbeats(self) -> None:
        """They come at the interval of the welcome, with the state."""
        self.begin()
        self.ack(*self.said())
        self.report(5)
        self.ack(*self.said())
        self.now += 9.9
        self.assertEqual(self.types(), [])
        self.now += 0.1
        [beat] = self.said()
        self.assertEqual(beat["data"], {"activeJobs": 1, "totalProcessed": 5, "systemStatus": "crawling"})
        self.hear("ack", type="heartbeat", ref="now")
        self.now += 10
        self.assertEqual(self.types(), ["heartbeat"])

    def test_a_server_that_is_silent(self) -> None:
        """A connection on which nothing is answered for a minute is given up."""
        self.connect()
        self.said()
        self.hear("job_response", jobs=[])
        start = self.now
        while self.now < start + 200:
            deadline = self.session.deadline
            assert deadline is not None
            self.now = deadline
            if Disconnect(abort=True) in (events := self.events()):
                break
            self.assertEqual(events, [])
        self.assertEqual(self.now, start + 10 + 60)
        self.session.connection_lost("aborted", self.now)
        self.now += 1
        self.reconnect()

    def test_a_connection_that_does_not_close(self) -> None:
        """It is aborted after some seconds."""
        self.connect()
        self.session.abort(self.now)
        self.assertEqual(self.events(), [Disconnect()])
        self.now += CLOSE_WITHIN
        self.assertEqual(self.events(), [Disconnect(abort=True)])
        self.session.connection_lost("aborted", self.now)
        self.assertEqual((self.events(), self.session.deadline), ([Finished()], None))

    def test_a_stopping_node(self) -> None:
        """Nothing more is said to it, its acks are read, and what was made meanwhile goes to its successor."""
        self.begin()
        first = self.report(1)
        [sent] = self.said()
        self.hear("shutdown", scope="node", graceful=True, timeout_seconds=3)
        second = self.report(2)
        self.assertEqual(self.types(), [])
        self.ack(sent)
        self.assertEqual(self.events(), [Answered(first, "j")])
        self.now += 3
        self.assertEqual(self.events(), [Disconnect()])
        self.session.connection_lost("over", self.now)
        self.events()
        self.now += 1
        self.assertEqual(self.reconnect()["data"]["assignments"], ["j"])
        [again] = self.said()
        self.ack(again)
        self.assertEqual(self.events(), [Answered(second, "j")])

    def test_a_line_that_never_ends(self) -> None:
        """A server that sends no newline is left."""
        self.connect()
        self.events()
        self.patch(connection_module, "MAX_LINE", 1000)
        for _ in range(2):
            self.session.receive(b"x" * 600, self.now)
        self.assertIn(Disconnect(abort=True), self.events())

    def test_rubbish(self) -> None:
        """Invalid lines and jobs are noted, unknown types ignored."""
        self.connect()
        self.said()
        self.session.receive(b"\xff{\n[]\n" + b"[" * 100_000 + b'\n\n{"type": "news"}\n', self.now)
        self.hear("job_response", jobs=[{"id": "half"}, 7])
        self.assertEqual(self.events(), [])
        self.assertEqual(len(self.noted), 5)
        self.assertEqual(self.types(), ["job_request"])

    @given(st.integers(1, 10_000))
    def test_the_backoff(self, failed: int) -> None:
        """It never is zero, and never much more than ten seconds."""
        self.assertTrue(0.05 < backoff(failed) < 12.5)


class ReportTests(CoreTestCase):
    """Reports, their answers, and what is sent again."""

    def test_reports_are_sent_again_until_they_are_answered(self) -> None:
        """On the next connection, in order, as they were, before anything new."""
        self.begin()
        cursor = {"currentPage": 1}
        tickets = [self.report(n, resumeState=cursor) for n in (1, 2)]
        cursor["currentPage"] = 9
        sent = self.said()
        self.ack(sent[0])
        self.assertEqual(self.events(), [Answered(tickets[0], "j")])
        self.lose_connection()
        third = self.report(3)
        self.assertEqual(self.reconnect()["data"]["assignments"], ["j"])
        again = self.said()
        self.assertEqual(again[0], sent[1])
        self.assertEqual([message["data"]["processed"] for message in again], [2, 3])
        self.ack(*again)
        self.assertEqual(self.events(), [Answered(tickets[1], "j"), Answered(third, "j")])

    def test_a_job_is_held_until_its_end_is_answered(self) -> None:
        """Its end is repeated, and there is room for another one meanwhile."""
        self.begin()
        self.session.jobs.complete("j", {"issue": 3}, self.now)
        completed, request = self.said()
        self.assertEqual((completed["type"], request["type"]), ("job_completed", "job_request"))
        self.lose_connection()
        self.assertEqual(self.reconnect()["data"]["assignments"], ["j"])
        self.assertEqual(self.said()[0], completed)
        self.ack(completed)
        self.events()
        self.lose_connection()
        self.assertEqual(self.reconnect()["data"]["assignments"], [])

    def test_several_messages_with_one_answer(self) -> None:
        """A ticket is settled when all its messages are answered, or one is refused."""
        self.begin()
        parts = [{"discovered_jobs": []}] * 2
        ticket = self.session.jobs.report("j", "jobs_discovered", parts, self.now)
        first, second = self.said()
        self.ack(first)
        self.assertEqual(self.events(), [])
        self.ack(second)
        self.assertEqual(self.events(), [Answered(ticket, "j")])
        ticket = self.session.jobs.report("j", "jobs_discovered", parts, self.now)
        first, second = self.said()
        self.hear("error", "j", code="invalid_message", message="odd", ref=first["id"])
        [refused] = self.events()
        assert isinstance(refused, Refused)
        self.assertEqual((refused.ticket, str(refused.problem)), (ticket, "invalid_message: odd"))
        self.ack(second)
        self.assertEqual(self.events(), [])

    def test_a_notice_refuses_nothing(self) -> None:
        """``rate_limited`` only says that the server reads more slowly."""
        self.begin()
        ticket = self.report()
        [sent] = self.said()
        self.hear("error", code="rate_limited", message="slowly", ref=sent["id"])
        self.assertEqual(self.events(), [])
        self.ack(sent)
        self.assertEqual(self.events(), [Answered(ticket, "j")])

    def test_without_acks(self) -> None:
        """Reports count as delivered once they are written; silence is no sign of anything."""
        self.session = self.make(capabilities=())
        self.begin()
        ticket = self.report()
        self.assertEqual(self.events(), [Answered(ticket, "j")])
        self.session.jobs.complete("j", {}, self.now)
        self.events()
        self.hear("job_response", jobs=[])
        self.now += 600
        self.assertEqual(self.events(), [])
        self.lose_connection()
        self.assertEqual(self.reconnect()["data"]["assignments"], [])

    def test_a_lost_job(self) -> None:
        """What was reported on it will not be answered, and nothing more is sent."""
        self.begin()
        tickets = (self.report(), self.report())
        [first, _] = self.said()
        self.hear("error", "j", code="stale_assignment", message="over", ref=first["id"])
        [lost] = self.events()
        assert isinstance(lost, Lost)
        self.assertEqual((lost.job_id, lost.tickets), ("j", tickets))
        self.assertRaises(JobGone, self.report)
        self.lose_connection()
        self.assertEqual(self.reconnect()["data"]["assignments"], [])
        self.assertEqual(self.types(), ["job_request"])

    def test_an_end_that_was_stored_before(self) -> None:
        """Reports before it are stale when they are sent again, which does not mean that the job is lost."""
        self.begin()
        tickets = [self.report(), self.session.jobs.complete("j", {}, self.now)]
        self.lose_connection()
        self.reconnect()
        progress, completed = self.said()[:2]
        self.hear("error", "j", code="stale_assignment", message="over", ref=progress["id"])
        self.assertEqual(self.events(), [])
        self.ack(completed)
        self.assertEqual(self.events(), [Answered(ticket, "j") for ticket in reversed(tickets)])
        self.setUp()
        self.begin()
        tickets = [self.report(), self.session.jobs.complete("j", {}, self.now)]
        for message in self.said()[:2]:
            self.hear("error", "j", code="stale_assignment", message="over", ref=message["id"])
        [lost] = self.events()
        assert isinstance(lost, Lost)
        self.assertEqual(sorted(lost.tickets), tickets)

    def test_a_refused_end(self) -> None:
        """A completion that the server refuses becomes a failure; so does one that is too large to be sent."""
        self.begin("j", "k")
        ticket = self.session.jobs.complete("j", {}, self.now)
        [completed] = self.said()
        self.hear("error", "j", code="internal", message="no", ref=completed["id"])
        self.assertIn(ticket, [event.ticket for event in self.events() if isinstance(event, Refused)])
        [failed] = self.said()
        self.assertEqual((failed["type"], failed["data"]["isRecoverable"]), ("job_failed", True))
        with self.assertRaises(ReportRefused):
            self.session.jobs.complete("k", {"x" * 200_000: 1}, self.now)
        self.assertEqual(self.types(), ["job_failed", "job_request"])
        self.assertRaises(JobGone, self.session.jobs.complete, "k", {}, self.now)

    def test_tokens(self) -> None:
        """Requests for one share a message, and only a token answers them."""
        self.begin()
        tickets = [self.session.jobs.refresh_token("j", {"error_details": "401"}, self.now) for _ in range(2)]
        [asked] = self.said()
        self.ack(asked)
        self.assertEqual(self.events(), [])
        self.hear("token_refresh_response", "j", accessToken="t-2", refreshSuccessful=True)
        self.assertEqual(self.events(), [Answered(ticket, "j", "t-2") for ticket in tickets])
        self.session.jobs.refresh_token("j", {}, self.now)
        self.hear("token_refresh_response", "j", accessToken="", refreshSuccessful=False)
        [refused] = self.events()
        assert isinstance(refused, Refused)
        self.assertIsInstance(refused.problem, TokenRefused)

    def test_rate_limits(self) -> None:
        """At most one a second goes out, the last before the job's end; none without a connection."""
        self.begin()
        for remaining in (9, 8, 7):
            self.session.jobs.rate_limit("j", {"remaining": remaining}, self.now)
        self.assertEqual([message["data"] for message in self.said()], [{"remaining": 9}])
        self.now += 1
        self.assertEqual(self.session.deadline, self.now)
        self.assertEqual([message["data"] for message in self.said()], [{"remaining": 7}])
        self.session.jobs.rate_limit("j", {"remaining": 6}, self.now)
        self.session.jobs.complete("j", {}, self.now)
        self.assertEqual(self.types(), ["rate_limit", "job_completed", "job_request"])
        self.session.jobs.rate_limit("j", {"remaining": 5}, self.now)
        self.assertEqual(self.types(), [])


class CommandTests(CoreTestCase):
    """Cancellations, pauses, and the end of the crawler."""

    def test_cancelled(self) -> None:
        """The job is lost, and there is room."""
        self.begin()
        self.hear("job_cancel", "j", reason="cancelled")
        [lost] = self.events()
        assert isinstance(lost, Lost)
        self.assertEqual(lost.problem.code, "cancelled")
        self.assertEqual(self.types(), ["job_request"])

    def test_a_job_that_is_cancelled_as_it_comes(self) -> None:
        """It is not started."""
        self.connect()
        self.hear("job_response", jobs=[work()])
        self.hear("job_cancel", "j")
        self.assertEqual([type(event) for event in self.events()], [Lost])

    def test_paused(self) -> None:
        """Work is to end, once; whatever it raises then gives the job back with its last cursor."""
        for error in (OSError("no answer"), JobFailure("no answer"), JobRelease("paused")):
            self.setUp()
            self.begin()
            self.report(1, resumeState={"currentPage": 1})
            self.report(2)
            self.hear("job_pause", "j")
            self.hear("job_pause", "j")
            self.assertEqual(self.events(), [StopRequested("j", "paused")])
            self.said()
            self.session.jobs.raised("j", error, self.now)
            released = self.said()[0]
            self.assertEqual(released["data"], {"reason": "paused", "resumeState": {"currentPage": 1}})

    def test_an_older_server(self) -> None:
        """What it does not understand is not sent."""
        self.features = ()
        self.begin()
        self.hear("job_pause", "j")
        self.assertEqual(self.events(), [])
        self.session.jobs.rate_limit("j", {"remaining": 1}, self.now)
        self.session.jobs.raised("j", JobRelease("rate_limited", "429", retry_after=3), self.now)
        failed = self.said()[0]
        self.assertEqual((failed["type"], failed["data"]["error"]), ("job_failed", "rate_limited: 429"))

    def test_stop(self) -> None:
        """Jobs are given back; those whose code does not do it in time are given back for it; then it is over."""
        self.session = self.make(max_jobs=3)
        self.begin("j", "k")
        self.report(1, resumeState={"currentPage": 4})
        self.ack(*[message for message in self.said() if "id" in message])
        self.hear("job_response", jobs=[work("unstarted")])
        self.events()
        self.session.stop(self.now)
        events = self.events()
        self.assertEqual([event for event in events if isinstance(event, StopRequested)], [
            StopRequested("j", "shutdown"), StopRequested("k", "shutdown")])  # fmt: skip
        self.session.jobs.raised("k", JobRelease("shutdown"), self.now)
        self.hear("job_response", jobs=[work("late")])
        self.assertEqual(sorted(message["jobId"] for message in self.said()), ["k", "late", "unstarted"])
        self.now += GIVE_BACK_WITHIN * 0.7
        [taken] = self.said()
        self.assertEqual(taken["data"], {"reason": "shutdown", "resumeState": {"currentPage": 4}})
        self.assertRaises(JobGone, self.report)
        self.now += GIVE_BACK_WITHIN
        self.assertIn(Disconnect(), self.events())
        self.session.connection_lost("closed", self.now)
        self.assertEqual((self.events(), self.session.finished), ([Finished()], True))

    def test_stop_when_idle(self) -> None:
        """There is nothing to wait for, connected or not."""
        self.session.start(self.now)
        self.session.connection_lost("no", self.now)
        self.session.stop(self.now)
        self.assertEqual(self.events()[-1], Finished())
        self.setUp()
        self.connect()
        self.session.stop(self.now)
        self.assertEqual(self.events(), [Disconnect()])

    def test_asked_to_exit(self) -> None:
        """What is over in time completes; the crawler exits when that is acknowledged."""
        self.begin()
        self.hear("shutdown", scope="crawler", graceful=True, timeout_seconds=60)
        self.assertEqual(self.events(), [])
        self.session.jobs.complete("j", {}, self.now)
        [completed] = self.said()
        self.assertEqual(self.events(), [])
        self.ack(completed)
        self.assertEqual(self.events(), [Answered(2, "j"), Disconnect()])

    def test_asked_to_exit_before_a_job_is_begun(self) -> None:
        """It is given back, and nothing is left to wait for; an older server's job is handed out all the same."""
        for self.features in (FEATURES, ()):
            self.setUp()
            self.connect()
            self.hear("job_response", jobs=[work()])
            self.assertIsInstance(self.session.next_event(self.now), Assigned)
            self.said()
            self.session.finish(self.now)
            ends = [Lost] if self.features else []
            self.assertEqual([type(event) for event in self.events()], ends)
            self.assertEqual(self.types(), ["job_released"] if self.features else [])

    def test_asked_to_exit_too_soon(self) -> None:
        """What would not be over in time is given back before."""
        self.begin()
        self.hear("shutdown", scope="crawler", graceful=True, timeout_seconds=60)
        self.events()
        self.now += 60 - GIVE_BACK_WITHIN
        self.assertEqual(self.events(), [StopRequested("j", "shutdown")])

    def test_demand(self) -> None:
        """Nothing is requested that nobody waits for."""
        self.session = self.make(max_jobs=5)
        self.session.demand = 0
        self.connect()
        self.assertEqual(self.types(), [])
        self.session.demand = 2
        self.assertEqual([message["data"] for message in self.said()], [{"limit": 2}])
        self.session.demand = 1
        self.hear("job_response", jobs=[work("a")])
        self.assertEqual(self.types(), [])
        self.session.jobs.begin("a", self.now)
        self.assertEqual(self.types(), ["job_started", "job_request"])
