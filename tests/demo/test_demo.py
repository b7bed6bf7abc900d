"""The demo as a command: its stage, its options, and one whole performance."""

import io
import json
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO, cast

from rich.console import Console
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.cli import demo
from copilot_socket.cli.main import parse
from copilot_socket.cli.output import standard_output
from copilot_socket.demo.display import Picture, Pictures, draw, for_console
from copilot_socket.demo.outcome import Line, Outcome
from copilot_socket.demo.stage import DemoFailed, Stage
from tests.support.crawler import in_reactor, until
from tests.support.server import NodeTestCase, get_json, run_for

COMMAND = (
    "import sys; from copilot_socket.cli import demo, main; sys.exit(demo.run(main.parse(['demo', *sys.argv[1:]])))"
)


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def parse(self, *words: str) -> object:
        """The arguments."""
        return parse(["demo", *words])

    def test_defaults(self) -> None:
        """Without options: three groups, small, nothing kept."""
        arguments = self.parse()
        self.assertEqual(
            (arguments.groups, arguments.size, arguments.keep, arguments.json), (3, "small", None, False)
        )

    def test_nonsense(self) -> None:
        """Numbers out of range and directories that exist are refused by name."""
        original, sys.stderr = sys.stderr, open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        try:
            for words in (("--groups", "0"), ("--groups", "x"), ("--size", "huge"), ("--keep", "/")):
                self.assertRaises(SystemExit, self.parse, *words)
        finally:
            sys.stderr.close()
            sys.stderr = original


class StageTests(SynchronousTestCase):
    """The directory, the environment and the processes."""

    def stage(self, **environ: str) -> Stage:
        """A stage, to be cleared at the end."""
        stage = Stage(None, {**os.environ, **environ})
        self.addCleanup(stage.__exit__, None, None, None)
        return stage.__enter__()

    def test_everything_goes(self) -> None:
        """At the end the children have been stopped and the directory is gone."""
        with Stage(None, os.environ) as stage:
            gitlab = stage.start_gitlab("--size", "tiny")
            self.assertTrue(gitlab["url"].startswith("http://127.0.0.1:"))
            self.assertEqual(stage.directory.stat().st_mode & 0o777, 0o711)
            child = stage.children["gitlab"]
            self.assertIsNone(child.status)
        self.assertEqual(child.status, 0)
        self.assertFalse(stage.directory.exists())

    def test_a_kept_directory_stays(self) -> None:
        """A directory that was asked for is made, and not removed."""
        with TemporaryDirectory() as parent:
            kept = Path(parent) / "kept"
            with Stage(kept, os.environ) as stage:
                self.assertEqual(stage.directory, kept)
            self.assertTrue(kept.exists())

    def test_a_long_path_is_refused(self) -> None:
        """No directory is made where no socket could be."""
        kept = Path(self.mktemp()) / ("x" * 100)
        with self.assertRaises(DemoFailed), Stage(kept, os.environ):
            pass
        self.assertFalse(kept.exists())

    def test_another_node_s_configuration_is_left_out(self) -> None:
        """What configures some other node does not reach ours; the database that was given does."""
        environ = {
            "SOCKET_PATH": "/x",
            "COPILOT_HTTP_TOKEN": "t",
            "COPILOT_SECRET_KEY": "k",
            "PORT": "1",
            "DATABASE_URL": "postgresql://x/y",
        }
        base = self.stage(**environ)._base
        self.assertEqual(
            {name: base[name] for name in environ if name in base},
            {"COPILOT_SECRET_KEY": "k", "DATABASE_URL": "postgresql://x/y"},
        )
        self.assertNotIn("COPILOT_SECRET_KEY", self.stage(DATABASE_URL="", COPILOT_SECRET_KEY="k")._base)

    def test_a_child_that_ends(self) -> None:
        """A child that ends by itself ends the demo, with the reason from its log."""
        stage = self.stage()
        child = stage._start("sorry", ["-c", "import sys; sys.exit('out of luck')"], stage._base, None)
        child._process.wait()
        error = self.assertRaises(DemoFailed, stage.check_children)
        self.assertIn("sorry has ended with status 1", str(error))
        self.assertIn("out of luck", str(error))

    def test_a_child_that_will_not_stop(self) -> None:
        """SIGKILL is for those that ignore SIGTERM."""
        self.patch(sys.modules["copilot_socket.demo.processes"], "PATIENCE", 0.05)
        stage = self.stage()
        program = (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); signal.pause()"
        )
        child = stage._start("deaf", ["-c", program], stage._base, stage.events)
        self.assertEqual(stage.events.get(timeout=10), ("deaf", {}))
        child.stop()
        self.assertEqual(child.status, -signal.SIGKILL)
        self.assertEqual(stage.events.get(timeout=10), ("deaf", None))


class CrawlersTests(NodeTestCase):
    """What a node says of its crawlers."""

    @in_reactor()
    async def test_they_are_drawn(self) -> None:
        """The picture shows a crawler by its name, and what it does."""
        node = await self.node()
        crawler = await self.greeted(node, "crawler-a")
        await until(lambda: self.query("SELECT key FROM crawlers"), "the crawler is known")
        status, answer = await get_json(node.port, "/api/v1/crawlers")
        self.assertEqual(status, 200)
        console = Console(file=io.StringIO(), width=120)
        console.print(draw(Picture({}, answer["crawlers"], {}, {}, 1.0)))
        self.assertRegex(console.file.getvalue(), r"crawler-a +│ 0 +│ connected +│")
        await crawler.hang_up()


class TerminalTests(SynchronousTestCase):
    """A picture that changes in place."""

    def test_what_is_written(self) -> None:
        """On a terminal everything goes to standard output, which stays what it is."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        display = for_console(Console(file=cast(TextIO, standard_output), force_terminal=True, width=120))
        self.assertIsInstance(display, Pictures)
        with display:
            self.assertIs(sys.stdout, out, "what the console writes would come back to it, without end")
            display.say("something happened")
            display.show(Picture({"queued": 7}, [], {}, {}, 1.0))
        self.assertEqual(out.getvalue().count("something happened"), 1)
        self.assertRegex(out.getvalue(), r"queued \| 7")


class PrintTests(SynchronousTestCase):
    """What is said at the end."""

    def test_what_comes_next(self) -> None:
        """After the result comes the command to go on with."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        console = Console(file=out, width=120)
        demo._print(console, Outcome([Line("issue", 5, 5)], None, {"completed": 1}, {"crawler-a": 1}, 1, 2.0, None))
        *_, result, following = out.getvalue().splitlines()
        self.assertIn("1 jobs completed (1 by crawler-a)", result)
        self.assertRegex(following, "copilot-socket run.*copilot-socket seed")


class WholeTests(TestCase):
    """The real thing."""

    timeout = 300

    @in_reactor()
    async def test_ended_from_outside(self) -> None:
        """Asked to end, or left by its terminal, a demo stops all that it has started."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            with TemporaryDirectory() as temporary:
                Path(temporary).chmod(0o711)  # root's embedded PostgreSQL runs as another user
                command = [sys.executable, "-c", COMMAND, "--groups", "1"]
                program, process = run_for(self, command, {"TMPDIR": temporary}, Path(temporary))
                await until(lambda said=program: b"A node listens" in said.out, "it is under way")
                process.signalProcess(number)
                self.assertEqual(await program.ended, 128 + number, program.err)
                self.assertEqual(list(Path(temporary).iterdir()), [])

    def test_a_whole_performance(self) -> "Deferred[None]":
        """A small demo crawls everything, loses a crawler, goes on from the cursor, and leaves nothing behind."""
        return Deferred.fromCoroutine(self._play())

    async def _play(self) -> None:
        with TemporaryDirectory() as temporary:
            Path(temporary).chmod(0o711)
            environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
            environ |= {"TMPDIR": temporary, "PYTHONPATH": str(Path(__file__).parents[2])}
            command = ["-c", COMMAND, "--groups", "1", "--json"]
            out, err, status = await getProcessOutputAndValue(sys.executable, command, environ, reactor=reactor)
            self.assertEqual(status, 0, err + out)
            document = json.loads(out)
            self.assertEqual((document["ok"], document["faults"]), (True, []))
            self.assertGreater(document["loss"]["resumed_page"], document["loss"]["killed_page"])
            self.assertGreater(document["entities"]["commit"]["crawled"], 0)
            self.assertEqual(list(Path(temporary).iterdir()), [])
