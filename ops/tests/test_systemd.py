"""The units: read by systemd's own tools, and, where that can be done, run by a systemd that is booted for them."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg2
from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.core.vault import fingerprint
from ops.tests.nested_systemd import NestedSystemd, needs_nested_systemd
from ops.tests.support import OPS, needs
from tests.support.crawler import in_reactor, until
from tests.support.server import free_port, get_json

UNITS = OPS / "systemd"
NODE, SOCKET = "copilot-socket.service", "copilot-socket.socket"
SERVICES = (NODE, "copilot-socket-backup.service")
MOST_EXPOSED = 2.0


@needs("systemd-analyze")
class AnalyzeTests(SynchronousTestCase):
    """What systemd-analyze says, on copies that name programs of this machine."""

    def setUp(self) -> None:
        """Copies of the units, on which the place where copilot-socket is installed is a temporary one."""
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        home = self.directory / "home"
        for program in ("bin/twistd", "bin/python", "ops/backup/backup"):
            (home / program).parent.mkdir(parents=True, exist_ok=True)
            (home / program).touch(mode=0o755)
        for unit in UNITS.iterdir():
            text = unit.read_text()
            (self.directory / unit.name).write_text(text.replace("/opt/copilot-socket", str(home)))

    def analyze(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it, with the copies in the place of installed units."""
        environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{self.directory}:/lib/systemd/system"}
        return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, env=environ, check=False)

    def test_verify(self) -> None:
        """There is nothing to complain about in any unit; and it does complain where there is."""
        units = [str(self.directory / unit.name) for unit in UNITS.iterdir()]
        self.assertEqual(len(units), 4)
        done = self.analyze("verify", "--man=no", *units)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        node = self.directory / NODE
        node.write_text(node.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
        self.assertIn("NoNewPrivilege", self.analyze("verify", "--man=no", str(node)).stderr)

    def test_exposure(self) -> None:
        """The overall exposure level stays low."""
        for service in SERVICES:
            done = self.analyze("security", "--offline=true", "--no-pager", str(self.directory / service))
            found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
            assert found is not None, done.stdout + done.stderr
            self.assertLess(float(found[1]), MOST_EXPOSED, done.stdout)

    def test_alias(self) -> None:
        """The unit is known by its other name once it is enabled, and brings its socket along."""
        root = self.directory / "root"
        place = root / "etc/systemd/system"
        place.mkdir(parents=True)
        for unit in UNITS.iterdir():
            shutil.copy(unit, place)
        enable = ["systemctl", f"--root={root}", "enable", NODE, "copilot-socket-backup.timer"]
        subprocess.run(enable, check=True, capture_output=True)
        self.assertEqual((place / "copilot-study.service").readlink().name, NODE)
        self.assertTrue((place / "sockets.target.wants" / SOCKET).is_symlink())
        self.assertTrue((place / "timers.target.wants/copilot-socket-backup.timer").is_symlink())


@needs("systemd-sysusers", "systemd-tmpfiles")
class FilesTests(SynchronousTestCase):
    """Users, groups and directories, made below a temporary root."""

    def test_users_and_directories(self) -> None:
        """Both files are understood, and what the units name is made."""
        root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, root)
        (root / "etc").mkdir()
        for command in (
            ["systemd-sysusers", f"--root={root}", str(OPS / "sysusers.d/copilot-socket.conf")],
            ["systemd-tmpfiles", f"--root={root}", "--create", str(OPS / "tmpfiles.d/copilot-socket.conf")],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        users = (root / "etc/passwd").read_text().splitlines()
        [user] = [line for line in users if line.startswith("copilot-study:")]
        self.assertTrue(user.endswith("/usr/sbin/nologin"), user)
        self.assertRegex((root / "etc/group").read_text(), r"(?m)^copilot-crawlers:x:\d+:copilot-study$")
        uid = int(user.split(":")[2])
        for directory, mode in (("var/lib", 0o700), ("var/log", 0o750), ("var/backups", 0o700), ("run", 0o2755)):
            status = (root / directory / "copilot-study").stat()
            self.assertEqual(oct(status.st_mode & 0o7777), oct(mode), directory)
            if os.geteuid() == 0:
                self.assertEqual(status.st_uid, uid)


HOME = "/opt/copilot-socket"
CRAWLER = """
import json, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/copilot-study/crawler.sock")
def say(kind, job=None, **data):
    message = {"type": kind, "timestamp": "now", "data": data} | ({"jobId": job} if job else {})
    connection.sendall(json.dumps(message).encode())
say("heartbeat", activeJobs=0, totalProcessed=0, systemStatus="idle")
say("job_request")
for line in connection.makefile():
    print(line, end="", flush=True)
    for job in json.loads(line)["data"].get("jobs", []):
        say("job_started", job["id"])
        say("job_completed", job["id"], success=True, finalCounts={})
        say("job_request")
"""
# Another user than the node's, let in by its group; the node has to see who it is.
CRAWLER_UNIT = """
[Service]
User=nobody
SupplementaryGroups=copilot-crawlers
ExecStart=/opt/copilot-socket/bin/python /run/given/units/crawler.py
StandardOutput=append:/run/crawler-%i.log
StandardError=append:/run/crawler-%i.log
"""
HTTP_UNIT = """
[Socket]
ListenStream=127.0.0.1:{port}
FileDescriptorName=http
Service=copilot-socket.service
"""
# There is no journal in there.
FOR_TESTS = """
[Service]
StandardOutput=append:/run/node.log
StandardError=append:/run/node.log
RestartSec=100ms
ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT >>/var/lib/copilot-study/results'
"""
# So that a test need not wait for 30 s.
IMPATIENT = """
[Service]
WatchdogSec=3s
TimeoutAbortSec=1s
"""


@needs_nested_systemd
class BootedTests(TestCase):
    """The units as they are, but for shorter times, under a systemd of their own."""

    async def booted(self, drop_in: str = "", **environment: str) -> NestedSystemd:
        """A fresh boot; the socket is listened on, nothing else runs.

        *drop_in* is added to the node's unit, *environment* to its environment.
        """
        self.port = free_port()
        systemd = NestedSystemd(
            {"COPILOT_ENV": "production", "COPILOT_HTTP_PORT": str(self.port), **environment},
            {
                f"{NODE}.d/test.conf": FOR_TESTS + drop_in,
                "copilot-socket-backup.service.d/test.conf": FOR_TESTS.replace("node.log", "backup.log"),
                "copilot-socket-http.socket": HTTP_UNIT.format(port=self.port),
                "crawler@.service": CRAWLER_UNIT,
                "crawler.py": CRAWLER,
            },
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(systemd.end()))
        await systemd.boot()
        await systemd.systemctl("start", SOCKET)
        return systemd

    async def active(self, systemd: NestedSystemd) -> int:
        """Wait until the node has said that it is ready; its pid in there."""
        try:
            await systemd.becomes(NODE, "ActiveState", "active".__eq__, "the node is ready")
        except AssertionError as error:
            status = await systemd.systemctl("status", NODE, SOCKET, "crawler@*", check=False)
            log = systemd.path("/run/node.log")
            said = log.read_text() if log.exists() else ""
            raise AssertionError(f"{error}\n{status}\n{systemd.log}\n{said}") from error
        return int(await systemd.show(NODE, "MainPID"))

    def query(self, systemd: NestedSystemd, statement: str) -> list[tuple[object, ...]]:
        """Ask the embedded database in there."""
        place = systemd.path("/var/lib/copilot-study/postgres")
        connection = psycopg2.connect(host=str(place), user="copilot", dbname="copilot")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    async def works(self, systemd: NestedSystemd) -> None:
        """A job that is put in is done."""
        self.query(
            systemd,
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            "VALUES ('a', 'gitlab-onprem', 'http://gitlab.test', 't') ON CONFLICT DO NOTHING",
        )
        insert = "INSERT INTO jobs (account_id, command, full_path) VALUES ('a', 'issues', 'g/p') RETURNING id"
        [(job,)] = self.query(systemd, insert)
        done = [("completed",)]
        look = f"SELECT status FROM jobs WHERE id = '{job}'"
        await until(lambda: self.query(systemd, look) == done, "the job is done")

    @in_reactor()
    async def test_activation(self) -> None:
        """A crawler's connection starts the node, which knows it by its process; restarts refuse nobody."""
        systemd = await self.booted()
        await systemd.systemctl("start", "crawler@early.service")
        node = await self.active(systemd)
        await self.works(systemd)
        status = "crawlers: 1 (1 waiting for work), connections: 1; the database answers"
        await systemd.becomes(NODE, "StatusText", status.__eq__, "the status is up to date")
        await self._knows(systemd, int(await systemd.show("crawler@early.service", "MainPID")))
        self._is_confined(systemd, node)
        await systemd.systemctl("reload", NODE)
        self.assertEqual(await self.active(systemd), node)
        before = systemd.path("/run/copilot-study/crawler.sock").stat()
        await systemd.systemctl("stop", NODE)
        await systemd.systemctl("start", "crawler@between.service")
        self.assertNotEqual(await self.active(systemd), node)
        await self.works(systemd)
        after = systemd.path("/run/copilot-study/crawler.sock").stat()
        self.assertEqual((after.st_ino, after.st_mode, after.st_gid), (before.st_ino, before.st_mode, before.st_gid))
        self.assertEqual(oct(after.st_mode & 0o777), oct(0o660))

    @in_reactor()
    async def test_credentials(self) -> None:
        """Secrets come from the credential store, plain and encrypted, and are not in the node's environment."""
        token, key = "t0ken-of-the-store", Fernet.generate_key().decode()
        systemd = await self.booted()
        plain = systemd.path("/etc/credstore/copilot-study.COPILOT_HTTP_TOKEN")
        plain.parent.mkdir(mode=0o700)
        plain.write_text(f"{token}\n")
        await systemd.run("mkdir", "-m", "700", "/etc/credstore.encrypted")
        sealed = "/etc/credstore.encrypted/copilot-study.copilot-secret-key"
        encrypt = f"printf %s {key} | systemd-creds encrypt --with-key=host --name=copilot-secret-key - {sealed}"
        await systemd.run("sh", "-c", encrypt)
        await systemd.systemctl("start", NODE)
        node = await self.active(systemd)
        stats = "/api/v1/stats"
        self.assertEqual((await get_json(self.port, stats))[0], 401)
        self.assertEqual((await get_json(self.port, stats, token=token))[0], 200)
        self.assertEqual(self.query(systemd, "SELECT key_fingerprints FROM nodes"), [([fingerprint(key)],)])
        environment = systemd.path(f"/proc/{node}/environ").read_text()
        self.assertIn("CREDENTIALS_DIRECTORY", environment)
        for secret in (token, key):
            self.assertNotIn(secret, environment)
        said = json.loads(await self.as_node(systemd, f"{HOME}/bin/copilot-socket", "keys", "status", "--json"))
        self.assertEqual([each["fingerprint"] for each in said["keys"]], [fingerprint(key)])
        self.assertIn(token, await self.as_node(systemd, "printenv", "COPILOT_HTTP_TOKEN"))
        await systemd.systemctl("start", "copilot-socket-backup.service")

    async def _knows(self, systemd: NestedSystemd, crawler: int) -> None:
        stat = systemd.path(f"/proc/{crawler}/stat").read_text()
        started = stat.rpartition(")")[2].split()[19]
        uid = systemd.path(f"/proc/{crawler}").stat().st_uid
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        [(key,)] = self.query(systemd, "SELECT key FROM crawlers")
        self.assertRegex(str(key), rf"^pid:{boot}:[^:]+:{crawler}:{started}:{uid}$")
        self.assertNotEqual(uid, systemd.path("/var/lib/copilot-study").stat().st_uid)

    def _is_confined(self, systemd: NestedSystemd, node: int) -> None:
        """The sandbox is in force, not only written down."""
        lines = systemd.path(f"/proc/{node}/status").read_text().splitlines()
        status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        self.assertNotIn("0", status["Uid"])
        for capabilities in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[capabilities][0], 16), 0, capabilities)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), (["1"], ["2"]))
        mounts = [line.split() for line in systemd.path(f"/proc/{node}/mountinfo").read_text().splitlines()]
        options = {mount[4]: mount[5].split(",") for mount in mounts}
        self.assertIn("ro", options["/"])
        self.assertIn("rw", options["/var/lib/copilot-study"])

    @in_reactor()
    async def test_no_database_yet(self) -> None:
        """A node that finds no database is started until it finds one, while a crawler waits."""
        url = f"postgresql://nobody:nothing@127.0.0.1:{free_port()}/none"
        key = Fernet.generate_key().decode()
        systemd = await self.booted(DATABASE_URL=url, COPILOT_SECRET_KEY=key)
        await systemd.systemctl("start", "crawler@patient.service")
        await systemd.becomes(NODE, "NRestarts", lambda times: int(times) >= 2, "two nodes have ended")
        self.assertIn("cannot connect to the database", systemd.path("/run/node.log").read_text())
        settings = systemd.path("/etc/copilot-study/environment")
        lines = settings.read_text().splitlines(keepends=True)
        settings.write_text("".join(line for line in lines if not line.startswith("DATABASE_URL")))
        await self.active(systemd)
        await self.works(systemd)
        self.assertEqual(await systemd.show("crawler@patient.service", "ActiveState"), "active")

    @in_reactor()
    async def test_without_socket_unit(self) -> None:
        """A node that has to make the socket by itself makes it where it should be, for the same group."""
        systemd = await self.booted()
        await systemd.systemctl("stop", SOCKET)
        await systemd.systemctl("mask", "--runtime", SOCKET)
        self.assertFalse(systemd.path("/run/copilot-study/crawler.sock").exists())
        await systemd.systemctl("start", NODE)
        await self.active(systemd)
        await systemd.systemctl("start", "crawler@other.service")
        await self.works(systemd)

    @in_reactor()
    async def test_http_socket(self) -> None:
        """A socket unit of its own may hold the HTTP port: a request starts the node and is answered."""
        systemd = await self.booted()
        await systemd.systemctl("start", "copilot-socket-http.socket")
        status, _ = await get_json(self.port, "/health/live")
        self.assertEqual(status, 200)
        await self.active(systemd)
        await systemd.systemctl("start", "crawler@other.service")
        await self.works(systemd)

    @in_reactor()
    async def test_watchdog(self) -> None:
        """A node that stands still is killed and started again."""
        systemd = await self.booted(IMPATIENT)
        await systemd.systemctl("start", NODE)
        node = await self.active(systemd)
        await systemd.systemctl("kill", "--kill-whom=main", "--signal=STOP", NODE)
        await systemd.becomes(NODE, "NRestarts", "1".__eq__, "the node is started again")
        self.assertNotEqual(await self.active(systemd), node)
        self.assertEqual(systemd.path("/var/lib/copilot-study/results").read_text(), "watchdog\n")

    @in_reactor()
    async def test_backup(self) -> None:
        """The backup service leaves a dump beside a running node and without one; the timer knows its next time."""
        systemd = await self.booted()
        await systemd.systemctl("start", NODE)
        await self.active(systemd)
        dumps = systemd.path("/var/backups/copilot-study")
        for expected in (1, 2):
            await systemd.systemctl("start", "copilot-socket-backup.service")
            self.assertEqual(len(list(dumps.glob("copilot-*.dump"))), expected)
            await systemd.systemctl("stop", NODE)
        await systemd.systemctl("start", "copilot-socket-backup.timer")
        self.assertNotEqual(await systemd.show("copilot-socket-backup.timer", "NextElapseUSecRealtime"), "")

    @in_reactor()
    async def test_commands_of_the_guide(self) -> None:
        """Commands are run as the node's user, with its environment; a dump is restored like that."""
        systemd = await self.booted()
        self.assertIn("A node can run here.", await self.as_node(systemd, f"{HOME}/bin/copilot-socket", "check"))
        await systemd.systemctl("start", "crawler@first.service")
        await self.active(systemd)
        await self.works(systemd)
        await systemd.systemctl("start", "copilot-socket-backup.service")
        await systemd.systemctl("stop", SOCKET, NODE)
        await systemd.run("mv", "/var/lib/copilot-study/postgres", "/var/lib/copilot-study/postgres.old")
        [dump] = [path.name for path in systemd.path("/var/backups/copilot-study").iterdir()]
        restore = (f"{HOME}/bin/python", f"{HOME}/ops/backup/restore", f"/var/backups/copilot-study/{dump}")
        said = await self.as_node(systemd, *restore)
        self.assertIn("jobs: 1 completed", said)
        await systemd.systemctl("start", SOCKET, "crawler@second.service")
        await self.active(systemd)
        await self.works(systemd)

    async def as_node(self, systemd: NestedSystemd, *command: str) -> str:
        """Run *command* as the guide says."""
        return await systemd.run(f"{HOME}/ops/as_node", *command)
