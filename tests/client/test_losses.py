"""The protocol core against the rules of the server for tests, with a network that breaks. No reactor, no sockets."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.client import Hello, JobFailure
from copilot_socket.client.connection import Connection
from copilot_socket.client.events import Answered, Assigned, Connect, Event, Lost, Refused
from copilot_socket.client.session import Session
from copilot_socket.testing.job import new_job
from copilot_socket.testing.link import Link
from copilot_socket.testing.rules import Rules
from copilot_socket.testing.tokens import Tokens


class World:
    """A session and a server, between them a network that loses connections."""

    def __init__(self, max_jobs: int) -> None:
        self.now = 0.0
        self.rules = Rules("http://g", Tokens(), grace=1e9)
        self.session = Session(Hello("c", ("issue",), max_jobs), backoff=lambda _: 0.1)
        self.session.demand = max_jobs
        self.jobs = [self.rules.add(new_job("issues", f"g/{n}", None, None)) for n in range(4)]
        self.link: Link | None = None
        self.running: dict[str, int] = {}
        """Started jobs by id, and how much was reported."""
        self.made: dict[int, tuple[str, int]] = {}
        """Ticket → the report that it is for."""
        self.answered: list[tuple[str, int]] = []
        self.refused: list[Event] = []
        self.session.start(0.0)
        self.settle()

    def settle(self) -> None:
        """Do what the session says, and carry bytes both ways until nothing moves."""
        moved = True
        while moved:
            moved = False
            while (event := self.session.next_event(self.now)) is not None:
                moved = True
                self.obey(event)
            if self.link is not None:
                self.link.receive(self.session.output())
                if self.link.output:
                    data, self.link.output, moved = self.link.output, b"", True
                    self.session.receive(data, self.now)

    def obey(self, event: Event) -> None:
        """Do what *event* says."""
        match event:
            case Connect():
                self.link = Link(self.rules, lambda _: None, lambda _link, _reply: True)
                self.session.connection_made(self.now)
            case Assigned():
                self.session.jobs.begin(event.job_id, self.now)
                self.running[event.job_id] = 0
            case Answered() if event.ticket in self.made:
                self.answered.append(self.made[event.ticket])
            case Refused() | Lost():
                self.refused.append(event)

    def cut(self, received: bool) -> None:
        """The connection breaks; *received*: what was said last has arrived, and its answer has not."""
        if self.link is not None:
            while (event := self.session.next_event(self.now)) is not None:
                self.obey(event)
            if received:
                self.link.receive(self.session.output())
            self.rules.gone(self.link)
            self.link = None
            self.session.connection_lost("cut", self.now)

    def pass_time(self) -> None:
        """Until there is a connection again."""
        self.now += 0.2
        self.rules.tick(self.now)
        self.settle()

    def act(self, step: str, job: str) -> None:
        """Report on *job*."""
        jobs, processed = self.session.jobs, self.running[job]
        if step == "report":
            data = {"stage": "fetching", "entityType": "issue", "processed": processed + 1}
            ticket = jobs.report(job, "job_progress", [data], self.now)
            self.running[job] = processed + 1
            self.made[ticket] = job, processed + 1
            return
        if step == "complete":
            ticket = jobs.complete(job, {"issue": processed}, self.now)
        else:
            ticket = jobs.fail(job, JobFailure("x", recoverable=False), self.now)
        self.made[ticket] = job, -1
        del self.running[job]


STEPS = st.lists(
    st.tuples(st.sampled_from(["report", "complete", "fail", "cut", "cut after", "time"]), st.integers(0, 3)),
    max_size=40,
)


class LossTests(SynchronousTestCase):
    """Nothing is lost, whenever the connection breaks."""

    @settings(max_examples=150, deadline=None)
    @given(st.integers(1, 3), STEPS)
    def test_nothing_is_lost(self, max_jobs: int, steps: list[tuple[str, int]]) -> None:
        """Every report is stored and answered in the end, no job is lost or done twice, and the limit is kept."""
        world = World(max_jobs)
        for step, number in steps:
            names = sorted(world.running)
            if step == "time":
                world.pass_time()
            elif step.startswith("cut"):
                world.cut(received=step == "cut after")
            elif names:
                world.act(step, names[number % len(names)])
            if number % 2:
                world.settle()
            self.assertLessEqual(sum(each.held for each in world.jobs), max_jobs)
        for _ in range(6):
            world.pass_time()
            for job in list(world.running):
                world.act("complete", job)
        world.pass_time()
        self.assertLessEqual({str(job.status) for job in world.jobs}, {"completed", "failed"})
        # A job that its crawler has never heard of is released, and sent again.
        ends = [[outcome for outcome in job.outcomes if outcome != "released"] for job in world.jobs]
        self.assertEqual([len(outcomes) for outcomes in ends], [1] * len(world.jobs))
        self.assertEqual(world.refused, [])
        self.assertEqual(sorted(world.answered), sorted(world.made.values()))
        for job in world.jobs:
            if job.status == "completed":
                self.assertEqual(job.counts["issue"], job.progress.get("processed", 0))

    @given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20))), st.data())
    def test_any_pieces(self, objects: list[dict[str, str]], data: st.DataObject) -> None:
        """Messages are found however they are cut."""
        messages = [{"type": "x", "data": each} for each in objects]
        stream = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        connection, found = Connection(), []
        while stream:
            at = data.draw(st.integers(1, len(stream)))
            found += list(connection.receive(stream[:at]))
            stream = stream[at:]
        self.assertEqual(found, messages)
