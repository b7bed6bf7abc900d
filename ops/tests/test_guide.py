"""docs/deployment.md: its commands exist, and its messages are what the software really says, provoked one by one."""

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli import main as cli
from copilot_socket.cli.arguments import SEED_OPTIONS, SEED_SECRETS
from copilot_socket.config import VARIABLES
from copilot_socket.core.vault import Vault, access_token
from copilot_socket.store import migrate
from copilot_socket.wire.listening import SocketError, listen
from ops.tests.support import OPS
from tests.support.crawler import until
from tests.support.postgres import (
    as_role,
    drop_database,
    execute,
    fresh_database,
    reachable_directory,
    server_url,
    with_search_path,
)
from tests.support.server import NodeTestCase, ServerProcess, beside_python, free_port, get_json, run_program

GUIDE = (OPS.parent / "docs" / "deployment.md").read_text("utf-8")
[NEWEST] = re.findall(r"newest: (\w+)", GUIDE)
"""The revision that stands in the guide for the newest one."""
NEWER = {"SOCKET_ERROR_LOG_FILE"}
ALIASES = {"SOCKET_DATABASE_CONNECTION_POOL"}
NOBODY = 65534
ROLE = "guide_copilot_server"


def code() -> Iterator[str]:
    """What stands in fences of shell, and between backquotes."""
    for language, text in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", GUIDE, re.MULTILINE | re.DOTALL):
        if language == "sh":
            yield text
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", GUIDE, flags=re.MULTILINE | re.DOTALL))


def plain(text: str) -> str:
    """*text* with every stretch of white space as one blank."""
    return " ".join(text.split())


class NameTests(SynchronousTestCase):
    """What the guide names exists."""

    def test_commands(self) -> None:
        """Every `copilot-socket …` is a command, with its subcommand and options."""
        seen = set()
        for text in code():
            for line in text.replace("\\\n", " ").splitlines():
                for words in re.findall(r"(?:^|[\s/(])copilot-socket((?: +[^\s#;&|)]+)*)", line):
                    name, *rest = words.split() or [""]
                    if not re.fullmatch(r"[a-z]+", name) or "systemctl" in line:
                        continue
                    seen.add(name)
                    self.assertIn(name, cli.COMMANDS, line)
                    self.assert_options(name, rest, line)
        self.assertLessEqual({"run", "check", "migrate", "seed", "jobs", "crawlers", "cleanup", "keys"}, seen)

    def assert_options(self, name: str, rest: list[str], line: str) -> None:
        """The rest of a command line begins with a subcommand, where there are any, and has no unknown option."""
        parser = cli.below(cli.parser_for([name]))[name]
        actions = cli.below(parser)
        if actions and rest:
            self.assertIn(rest[0], actions, line)
            parser = actions[rest[0]]
        for word in rest:
            if word.startswith("--"):
                self.assertIn(word.partition("=")[0], parser._option_string_actions, line)

    def test_variables(self) -> None:
        """Every variable is one of ours."""
        names = set(re.findall(r"\b(?:SOCKET|COPILOT|DATABASE|SEED|GITLAB)_[A-Z_]+[A-Z]\b", GUIDE))
        self.assertIn("DATABASE_URL", names)
        known = {variable.name for variable in VARIABLES} | NEWER | ALIASES
        known |= {f"{name}{suffix}" for name in SEED_SECRETS.values() for suffix in ("", "_FILE")}
        self.assertEqual(names - known - {variable for variable, _ in SEED_OPTIONS.values()}, set())

    def test_files(self) -> None:
        """Every file and directory of ops/ is there."""
        names = set(re.findall(r"\bops/[\w./*-]*[\w*/]", GUIDE))
        self.assertTrue(names)
        for name in names:
            self.assertTrue(list(OPS.parent.glob(name)), name)


class MessageTests(NodeTestCase):
    """Every message in a box, from the software itself."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = reachable_directory("guide-")
        self.directory.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.path = self.directory / "crawler.sock"
        self.http = free_port()

    def assert_in_guide(self, said: str, **more: str) -> None:
        """The guide has this very text, with its own paths and ports in the place of the test's."""
        for ours, theirs in (
            (str(self.path), "/var/run/copilot-study/crawler.sock"),
            (str(self.directory), "/var/run/copilot-study"),
            (f":{self.http}", ":3000"),
            (migrate.head(), NEWEST),
            *more.items(),
        ):
            said = said.replace(ours, theirs)
        self.assertTrue(plain(said) in plain(GUIDE), f"not in docs/deployment.md: {said}")

    async def said(self, *words: str, **environ: str) -> str:
        """What `copilot-socket` says; of a node's start only the line that says why there is none."""
        given = {
            "DATABASE_URL": self.database_url,
            "SOCKET_PATH": str(self.path),
            "COPILOT_HTTP_PORT": str(self.http),
            **environ,
        }
        program, _ = run_program([beside_python("copilot-socket"), *words], given, self.directory)
        status = await program.ended
        self.assertEqual(status, 1 if words == ("run",) else status)
        output = (program.out + program.err).decode()
        return output[output.index("copilot-socket can't start") :] if words == ("run",) else output

    async def running(self, **environ: str) -> ServerProcess:
        """A node on the paths of this test."""
        server = self.process(SOCKET_PATH=str(self.path), COPILOT_HTTP_PORT=str(self.http), **environ)
        server.port = self.http
        return await server.start()

    async def test_address_in_use(self) -> None:
        """A second node on one socket, or on one port."""
        await self.running()
        self.assert_in_guide(await self.said("run", COPILOT_HTTP_PORT="0"))
        self.assert_in_guide(await self.said("run", SOCKET_PATH=str(self.directory / "other.sock")))

    @contextmanager
    def without_rights(self) -> Iterator[None]:
        """As a user who may not write to the directory."""
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        else:
            self.directory.chmod(0o500)
        try:
            yield
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
            self.directory.chmod(0o755)

    def listening_fault(self, path: Path) -> str:
        """What a node says that can't listen."""
        with self.without_rights():
            error = self.assertRaises(SocketError, listen, reactor, path, 0o660, Factory())
        return f"copilot-socket can't start: {error}"

    def test_permission_denied(self) -> None:
        """A directory that is another user's, a missing one, and one with a stale socket in it."""
        self.assert_in_guide(self.listening_fault(self.path))
        below = self.directory / "below"
        said = self.listening_fault(below / "crawler.sock").replace(str(below), str(self.directory))
        self.assert_in_guide(said)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.path))
        self.path.chmod(0o666)
        self.assert_in_guide(self.listening_fault(self.path))

    async def test_stale_socket(self) -> None:
        """A killed node leaves its socket: check says so, and the next node starts."""
        server = await self.running()
        await server.kill()
        said = await self.said("check")
        [line] = [line for line in said.splitlines() if line.startswith("ok    socket")]
        self.assert_in_guide(line)
        await server.start()

    async def test_no_socket(self) -> None:
        """Something else is in the socket's place."""
        self.path.touch()
        self.assert_in_guide(await self.said("run"))

    async def test_database_at_start(self) -> None:
        """Away, without tables, behind another program's tables, without rights, ahead."""
        nowhere = f"postgresql://copilot_server@127.0.0.1:{free_port()}/copilot"
        said = await self.said("run", DATABASE_URL=nowhere)
        self.assert_in_guide(re.sub(r"port \d+", "port 5432", said))
        empty = fresh_database(migrated=False)
        self.addCleanup(drop_database, empty)
        self.assert_in_guide(await self.said("run", DATABASE_URL=empty))
        self.query("ALTER SCHEMA public RENAME TO crawling; CREATE SCHEMA public; CREATE TABLE public.accounts ()")
        behind = with_search_path(self.database_url, "public,crawling")
        self.assert_in_guide(await self.said("run", DATABASE_URL=behind))
        self.query("DROP SCHEMA public CASCADE; ALTER SCHEMA crawling RENAME TO public")
        self.role()
        url = as_role(self.database_url, ROLE)
        self.assert_in_guide(await self.said("run", DATABASE_URL=url), **{ROLE: "copilot_server"})
        self.query("UPDATE copilot_socket_version SET version_num = '9999_later'")
        self.assert_in_guide(await self.said("run"))

    async def test_database_goes_away(self) -> None:
        """A running node says it, is not ready, and goes on when the database is back."""
        server = await self.running()
        self.shut_database()
        told = re.compile(r"PostgreSQL refuses this node's login: FATAL.*")
        await until(lambda: told.search(server.log) is not None, "the node has noticed")
        [line, *_] = told.findall(server.log)
        name = self.database_url.partition("?")[0].rpartition("/")[2]
        self.assert_in_guide(line, **{name: "copilot"})
        self.assertEqual((await get_json(self.http, "/health/ready"))[0], 503)
        self.open_database()

        async def ready() -> bool:
            return (await get_json(self.http, "/health/ready"))[0] == 200

        await until(ready, "the node is ready again")

    async def test_read_only_database(self) -> None:
        """What check says of it."""
        name = self.database_url.partition("?")[0].rpartition("/")[2]
        execute(server_url(), f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        said = await self.said("check")
        self.assert_in_guide("\n".join(said[said.index("FAULT writing") :].splitlines()[:2]))

    def role(self, limit: int = -1) -> None:
        """A role that may do nothing yet."""
        execute(server_url(), f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT {limit}")
        self.addCleanup(execute, server_url(), f"DROP ROLE {ROLE}")
        self.addCleanup(execute, self.database_url, f"DROP OWNED BY {ROLE}")

    async def test_pool_exhaustion(self) -> None:
        """No connection is left at the start, and check's count."""
        self.role(limit=10)
        execute(self.database_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}")
        url = as_role(self.database_url, ROLE)
        said = await self.said("check", DATABASE_URL=url, DATABASE_CONNECTION_POOL="20")
        fault = said[said.index("FAULT connections") :].splitlines()[:2]
        self.assert_in_guide("\n".join(fault))
        execute(server_url(), f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
        said = await self.said("run", DATABASE_URL=url)
        said = re.sub(r'connection to server on socket "[^"]*" failed: ', "", said)
        self.assert_in_guide(said, **{ROLE: "copilot_server"})

    async def test_too_many_connections(self) -> None:
        """What the crawler gets that is one too many."""
        server = await self.running(SOCKET_MAX_CONNECTIONS="1")
        await self.greeted(server)
        second = await self.crawler(server, "c2")
        data = (await second.expect("error"))["data"]
        self.assertIn(f'"code":"{data["code"]}"', GUIDE)
        self.assert_in_guide(data["message"].replace("At most 1 ", "At most 10 "))

    async def test_configuration(self) -> None:
        """Production without the key."""
        self.assert_in_guide(await self.said("run", COPILOT_ENV="production"))

    async def test_another_key(self) -> None:
        """Tokens that were stored with a key that the node does not have."""
        server = await self.running(COPILOT_SECRET_KEY=Fernet.generate_key().decode())
        token = Vault([Fernet.generate_key().decode()]).encrypt("token", access_token("acct", "http://gitlab.test"))
        self.query("UPDATE accounts SET access_token = %s", token)
        self.add_jobs()
        crawler = await self.greeted(server)
        crawler.say("job_request")
        await until(lambda: "can't be sent" in server.log, "the node complains")
        [line, *_] = [line for line in server.log.splitlines() if "can't be sent" in line]
        self.assert_in_guide(line[line.index("Jobs can't") :])

    async def test_not_let_in(self) -> None:
        """A request without a token."""
        await self.running()
        arguments = [sys.executable, "-c", _WITHOUT_TOKEN, str(self.http)]
        program, _ = run_program(arguments, {}, self.directory)
        await program.ended
        self.assert_in_guide(program.out.decode())


_WITHOUT_TOKEN = """
import json, sys
from urllib.error import HTTPError
from urllib.request import urlopen
try:
    urlopen(f"http://127.0.0.1:{sys.argv[1]}/api/v1/stats")
except HTTPError as error:
    print(json.load(error)["detail"])
"""
