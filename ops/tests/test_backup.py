"""ops/backup: dumped under load, restored elsewhere, and work goes on."""

import fcntl
import os
import shutil
import sys
import tempfile
from pathlib import Path

import psycopg2

from copilot_socket.store.embedded import EmbeddedPostgres
from ops.tests.support import OPS
from tests.support.crawler import in_reactor, until
from tests.support.load import Load
from tests.support.postgres import drop_database, fresh_database, reachable_directory
from tests.support.server import NodeTestCase, Program, ServerProcess, run_program

CURSOR = {"currentPage": 7, "lastEntityId": "1234"}
JOBS = 200
FAILING = """#!/bin/sh
for option; do case $option in --file=*) echo half >"${option#--file=}" || exit 4 ;; esac; done
exit 3
"""


class BackupTests(NodeTestCase):
    """Both scripts, as an administrator runs them."""

    def setUp(self) -> None:
        """A place for dumps, and one for another embedded database."""
        super().setUp()
        self.dumps = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dumps)

    def state_directory(self) -> Path:
        """For an embedded database, which is stopped in the end."""
        directory = reachable_directory("backup-")
        self.addCleanup(shutil.rmtree, directory)
        self.addCleanup(EmbeddedPostgres(directory).stop, only_if_unused=False)
        return directory

    async def run_script(self, name: str, *arguments: str, **environ: str) -> tuple[int, Program]:
        """Run one of the scripts with this Python; its exit status, and what it said."""
        command = [sys.executable, str(OPS / "backup" / name), *arguments]
        program, _ = run_program(command, environ, self.dumps)
        return await program.ended, program

    async def dump(self, *options: str, **environ: str) -> Path:
        """Run backup; the newest dump."""
        status, said = await self.run_script("backup", f"--directory={self.dumps}", *options, **environ)
        self.assertEqual(status, 0, said.err.decode())
        return max(self.dumps.glob("copilot-*.dump"))

    async def restore(self, dump: Path, **environ: str) -> str:
        """Run restore; what it said."""
        status, said = await self.run_script("restore", str(dump), **environ)
        self.assertEqual(status, 0, said.err.decode())
        return said.out.decode()

    @in_reactor()
    async def test_work_goes_on(self) -> None:
        """A dump made under load, restored into a fresh cluster: a node on it gives out again what was assigned."""
        first = await self.process().start()
        self.add_jobs(JOBS)
        [held] = self.add_jobs(1, prefix="held/p", command="commits")
        keeper = await self.greeted(first, "keeper", entityTypes=["commit"])
        await keeper.told("job_started", (job := await keeper.take_job())["id"])
        self.assertEqual(job["id"].partition(".")[0], held)
        await keeper.answer(keeper.progress(job["id"], 70, resumeState=CURSOR))
        load = Load([await self.greeted(first, f"c{n}", entityTypes=["issue"]) for n in range(4)], reports=20)
        load.start()
        await until(lambda: len(load.completed) > JOBS // 10, "the load is under way")
        before: set[str] = set()
        while len(load.completed) == len(before) or not before:  # or nothing was done while the dump was made
            before = {assignment.partition(".")[0] for assignment in load.completed}
            dump = await self.dump(DATABASE_URL=self.database_url)
        self.assertLess(len(load.completed), JOBS, "the load was over before the dump was")
        load.stop()
        await first.kill()

        state = self.state_directory()
        said = await self.restore(dump, COPILOT_STATE_DIR=str(state))
        self.assertRegex(said, r"\d+ completed, \d+ queued, \d+ running")
        second = await self.process(COPILOT_STATE_DIR=str(state)).start()
        await self._finishes(second, state, held, before)

    def process(self, url: str | None = None, **environ: str) -> ServerProcess:
        """A node on this test's database, or on an embedded one if COPILOT_STATE_DIR is given."""
        server = super().process(url, **environ)
        if "COPILOT_STATE_DIR" in environ:
            del server.environ["DATABASE_URL"]
        return server

    async def _finishes(self, node: ServerProcess, state: Path, held: str, before: set[str]) -> None:
        """Other crawlers get everything that is not done, the held job with its cursor."""
        again = await self.greeted(node, "another", entityTypes=["commit"])
        job = await again.take_job()
        self.assertEqual((job["id"].partition(".")[0], job["resumeState"]), (held, CURSOR))
        self.assertEqual((await again.answer(again.complete(job["id"])))["type"], "ack")
        load = Load([await self.greeted(node, f"d{n}", entityTypes=["issue"]) for n in range(4)], reports=0)
        load.start()
        all_done = {("completed", JOBS + 1)}
        url = EmbeddedPostgres(state).start()
        count = "SELECT status, count(*)::int FROM jobs GROUP BY status"
        await until(lambda: set(_ask(url, count)) == all_done, "every job is done")
        load.stop()
        self.assertEqual(load.refused, [])
        twice = before & {job.partition(".")[0] for crawler in load.crawlers for job in crawler.jobs()}
        self.assertEqual(twice, set(), "what was done before the dump was done again")

    @in_reactor()
    async def test_embedded(self) -> None:
        """The embedded database is dumped while a node uses it, and fits into a database of another server."""
        state = self.state_directory()
        status, said = await self.run_script("backup", f"--directory={self.dumps}", COPILOT_STATE_DIR=str(state))
        self.assertEqual(status, 1)
        self.assertIn(f"there is no embedded database in {state}", said.err.decode())
        await self.process(COPILOT_STATE_DIR=str(state)).start()
        dump = await self.dump(COPILOT_STATE_DIR=str(state))
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        self.assertIn("jobs: none", await self.restore(dump, DATABASE_URL=url))
        await self.process(url).start()

    @in_reactor()
    async def test_retention(self) -> None:
        """The newest dumps stay, for their owner to read; remains of killed runs go, and nothing else."""
        (self.dumps / "copilot-19990101T000000Z.dump.partial").touch()
        (self.dumps / "copilot-notes.txt").touch()
        made = [await self.dump("--keep=2", DATABASE_URL=self.database_url) for _ in range(3)]
        self.assertEqual(
            sorted(path.name for path in self.dumps.iterdir()),
            sorted([made[1].name, made[2].name, "copilot-notes.txt"]),
        )
        self.assertEqual(oct(made[2].stat().st_mode & 0o777), oct(0o600))

    @in_reactor()
    async def test_one_at_a_time(self) -> None:
        """While one backup is under way, another into the same directory says so and does nothing."""
        directory = os.open(self.dumps, os.O_RDONLY)
        self.addCleanup(os.close, directory)
        fcntl.flock(directory, fcntl.LOCK_EX)
        status, said = await self.run_script("backup", f"--directory={self.dumps}", DATABASE_URL=self.database_url)
        self.assertEqual((status, list(self.dumps.iterdir())), (1, []))
        self.assertIn("another backup", said.err.decode())

    @in_reactor()
    async def test_failures(self) -> None:
        """A backup that fails leaves no file, a restore that fails no table; neither tells a password."""
        dump = await self.dump(DATABASE_URL=self.database_url)
        status, said = await self.run_script(
            "backup", f"--directory={self.dumps}", DATABASE_URL="postgresql://who:hush@127.0.0.1:1/none"
        )
        self.assertEqual(status, 1)
        self.assertIn("refused", said.err.decode())
        self.assertNotIn("hush", (said.out + said.err).decode())
        await self._half_a_dump()
        self.assertEqual(list(self.dumps.iterdir()), [dump])
        status, said = await self.run_script("restore", str(dump), DATABASE_URL=self.database_url)
        self.assertEqual(status, 1)
        self.assertRegex(said.err.decode(), r"holds \d+ tables already")
        cut = dump.with_suffix(".cut")
        cut.write_bytes(dump.read_bytes()[:-2000])
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        status, said = await self.run_script("restore", str(cut), DATABASE_URL=url)
        self.assertEqual(status, 1)
        self.assertIn("nothing was restored", said.err.decode())
        self.assertEqual(_ask(url, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'"), [])

    async def _half_a_dump(self) -> None:
        """A backup whose pg_dump fails in the middle."""
        programs = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, programs)
        (programs / "pg_dump").write_text(FAILING)
        (programs / "pg_dump").chmod(0o755)
        options = (f"--directory={self.dumps}", f"--programs={programs}")
        status, said = await self.run_script("backup", *options, DATABASE_URL=self.database_url)
        self.assertEqual(status, 1)
        self.assertIn("no dump was made: pg_dump ended with status 3", said.err.decode())


def _ask(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()
