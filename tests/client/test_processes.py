"""Crawlers as processes of their own: signals, and what is imported."""

import sys
from textwrap import dedent

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from copilot_socket.testing import Server
from tests.support.crawler import in_reactor, until
from tests.support.server import Program, run_for, short_directory

PLAIN = """
import signal, sys, time
from copilot_socket.client import Crawler

crawler = Crawler(sys.argv[1], give_back_within=0.3)
{prepare}
for job in crawler.jobs():
    with job:
        job.progress(1, resume_state={{"currentPage": 7}})
        print("ready", flush=True)
        {work}
print("over", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=True)
"""
CHECKS = "while not job.check(): time.sleep(0.005)"
ASYNCIO = """
import asyncio, signal, sys
from copilot_socket.client.asyncio import Crawler

async def main():
    async for job in Crawler(sys.argv[1]).jobs():
        async with job:
            await job.progress(1, resume_state={"currentPage": 7})
            print("ready", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
print("over", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=True)
"""
IMPORTS = """
import sys
import copilot_socket.client, copilot_socket.client.asyncio, copilot_socket.testing
from copilot_socket.testing import Server

with Server() as server:
    job = server.add_job("issues", "g/p")
    server.exit_when_done()
    for each in copilot_socket.client.Crawler(server.path).jobs():
        each.complete()
    assert job.status == "completed"
print([name for name in sys.modules if name.partition(".")[0] in ("twisted", "zope", "psycopg2", "txpostgres")])
"""


class ProcessTests(TestCase):
    """Each crawler has a job, and is sent a signal."""

    def setUp(self) -> None:
        """A server with a job."""
        self.server = Server()
        self.server.start()
        self.addCleanup(self.server.stop)
        self.job = self.server.add_job("issues", "g/p")
        self.directory = short_directory()
        self.file = self.directory / "crawler.py"
        self.addCleanup(self.directory.rmdir)
        self.addCleanup(self.file.unlink)

    def start(self, text: str) -> Program:
        """Start a program."""
        self.file.write_text(text)
        program, self.process = run_for(self, [sys.executable, str(self.file), self.server.path], {}, self.directory)
        return program

    async def begun(self, text: str) -> Program:
        """A program whose job has reported."""
        program = self.start(text)
        await until(lambda: b"ready" in program.out or not program.running, "the job has begun")
        return program

    async def terminated(self, text: str, exit_status: int = 0) -> Program:
        """A program that has ended by SIGTERM, and has given its job back with its cursor."""
        program = await self.begun(text)
        self.process.signalProcess("TERM")
        self.assertEqual(await program.ended, exit_status, program.err.decode())
        await deferToThread(self.job.wait, "queued")
        self.assertEqual((self.job.cause, self.job.resume_state), ("drained", {"currentPage": 7}))
        self.assertEqual(self.server.errors, [])
        return program

    @in_reactor()
    async def test_sigterm(self) -> None:
        """The plain client gives its job back, the loop ends, and the default is restored."""
        program = await self.terminated(PLAIN.format(prepare="", work=CHECKS))
        self.assertIn(b"over True", program.out)

    @in_reactor()
    async def test_sigterm_with_asyncio(self) -> None:
        """So does the client for asyncio, where the job waits."""
        program = await self.terminated(ASYNCIO)
        self.assertIn(b"over True", program.out)

    @in_reactor()
    async def test_code_that_does_not_listen(self) -> None:
        """Its job is given back all the same; a second SIGTERM ends the process."""
        program = await self.begun(PLAIN.format(prepare="", work="time.sleep(60)"))
        self.process.signalProcess("TERM")
        await deferToThread(self.job.wait, "queued")
        self.assertEqual((self.job.cause, self.job.resume_state), ("drained", {"currentPage": 7}))
        self.process.signalProcess("TERM")
        self.assertEqual(await program.ended, -15)

    @in_reactor()
    async def test_a_handler_of_the_program(self) -> None:
        """It is called, and stays."""
        prepare = dedent("""
            def handle(*_):
                print("mine", flush=True)
                crawler.stop_soon()
            signal.signal(signal.SIGTERM, handle)
        """)
        program = await self.terminated(PLAIN.format(prepare=prepare, work=CHECKS))
        self.assertIn(b"mine\nover False", program.out)

    @in_reactor()
    async def test_a_handler_that_does_nothing(self) -> None:
        """Then nothing happens: the client does not heed SIGTERM."""
        prepare = "signal.signal(signal.SIGTERM, lambda *_: print('mine', flush=True))"
        program = await self.begun(PLAIN.format(prepare=prepare, work=CHECKS))
        self.process.signalProcess("TERM")
        await until(lambda: b"mine" in program.out)
        self.job.cancel()
        await until(lambda: self.server.types().count("job_request") == 2)
        self.assertTrue(program.running)

    @in_reactor()
    async def test_ctrl_c(self) -> None:
        """KeyboardInterrupt gives the job back, and ends the program as usual."""
        program = await self.begun(PLAIN.format(prepare="", work=CHECKS))
        self.process.signalProcess("INT")
        self.assertIn(await program.ended, (1, -2, 130))
        self.assertIn(b"KeyboardInterrupt", program.err)
        await deferToThread(self.job.wait, "queued")
        self.assertEqual(self.job.cause, "drained")

    @in_reactor()
    async def test_killed(self) -> None:
        """A job of a crawler that was killed is released after the grace."""
        self.server.do(lambda rules: setattr(rules, "_grace", 0.05))
        await self.begun(PLAIN.format(prepare="", work=CHECKS))
        self.process.signalProcess("KILL")
        await deferToThread(self.job.wait, "queued")
        self.assertEqual((self.job.cause, self.job.resume_state), ("crawler_lost", {"currentPage": 7}))

    @in_reactor()
    async def test_imports(self) -> None:
        """Neither these clients nor the server for tests import a reactor, or a driver of a database."""
        program = self.start(IMPORTS)
        self.assertEqual(await program.ended, 0, program.err.decode())
        self.assertEqual(program.out, b"[]\n")
