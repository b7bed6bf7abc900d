"""A node without COPILOT_HTTP_TOKEN: it makes a token, and its own user needs none."""

import json
import os
import shutil
import socket
import stat
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent, HTTPConnectionPool

from copilot_socket.core.access import ROLES
from copilot_socket.wire.listening import probe
from tests.support.crawler import in_reactor
from tests.support.server import NodeTestCase, ServerProcess, beside_python, free_port, get_json, run_program

NOBODY = 65534
_CONNECT = """
import os, socket, sys
os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except PermissionError:
    print("refused")
"""


class LocalAccessTests(NodeTestCase):
    """``http-token`` and ``http.sock``, tried by the command line."""

    def own_process(self) -> ServerProcess:
        """A node without a token in its configuration."""
        server = self.process()
        del server.environ["COPILOT_HTTP_TOKEN"]
        return server

    def state(self, server: ServerProcess) -> Path:
        """The state directory of *server*."""
        return Path(server.environ["COPILOT_STATE_DIR"])

    async def call(self, server: ServerProcess, *words: str, **more: str) -> tuple[int, str, str]:
        """Exit status, output and errors of a command with the node's environment."""
        arguments = [beside_python("copilot-socket"), *words]
        program, _ = run_program(arguments, {**server.environ, **more}, server.directory)
        return await program.ended, program.out.decode(), program.err.decode()

    async def answer(self, server: ServerProcess, *words: str, **more: str) -> Any:
        """The JSON of a command that must succeed."""
        status, out, err = await self.call(server, *words, "--json", **more)
        self.assertEqual((status, err), (0, ""), out)
        return json.loads(out)

    @in_reactor()
    async def test_token(self) -> None:
        """The first start makes it, for the node's user alone; later ones keep it; nobody gets in without."""
        server = await self.own_process().start()
        path = self.state(server) / "http-token"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        token = path.read_text().strip()
        self.assertEqual((await self.call(server, "token"))[1].strip(), token)
        self.assertEqual((await get_json(server.port, "/api/v1/stats", token=None))[0], 401)
        self.assertEqual((await get_json(server.port, "/api/v1/stats", token=token))[0], 200)
        self.assertEqual((await get_json(server.port, "/metrics", token=None))[0], 200)
        await server.stop()
        await server.start()
        self.assertEqual(path.read_text().strip(), token)
        self.assertNotIn(token, server.log)

    @in_reactor()
    async def test_token_that_others_can_read(self) -> None:
        """It is no secret, so the node does not start."""
        server = self.own_process()
        self.state(server).mkdir()
        path = self.state(server) / "http-token"
        path.write_text("known\n")
        path.chmod(0o644)
        server.launch()
        self.assertEqual(await server.exit_status(), 1)
        self.assertIn(f"chmod 600 {path}", server.log)

    @in_reactor()
    async def test_command_line(self) -> None:
        """The node's own user needs neither token nor address, and can make tokens for others."""
        server = await self.own_process().start()
        self.assertIn("jobs", await self.answer(server, "stats"))
        self.assertEqual((await self.call(server, "tokens", "list"))[0], 0)
        for role in ROLES:
            made = await self.answer(server, "tokens", "add", f"a-{role}", "--role", role, "--for", "1h")
            self.assertEqual((await get_json(server.port, "/api/v1/session", token=made["token"]))[1]["role"], role)
        status, out, _ = await self.call(server, "tokens", "add", "app", "--role", "app", "--account-id", "acct")
        self.assertEqual(status, 0)
        answer = await get_json(server.port, "/api/v1/session", token=out.strip())
        self.assertEqual(answer[1]["accounts"], ["acct"])
        listed = (await self.answer(server, "tokens", "list"))["tokens"]
        self.assertEqual({each["created_by"] for each in listed}, {f"uid:{os.geteuid()}"})
        self.assertEqual((await self.call(server, "tokens", "revoke", "app"))[1], "app: revoked\n")
        self.assertEqual((await get_json(server.port, "/api/v1/session", token=out.strip()))[0], 401)
        status, _, err = await self.call(server, "tokens", "revoke", "app")
        self.assertEqual((status, err), (1, "copilot-socket: Not Found: No such token\n"))

    @in_reactor()
    async def test_open(self) -> None:
        """A link made as the node's own user gives a session under that name, at the HTTP port."""
        server = await self.own_process().start()
        status, out, err = await self.call(server, "open")
        before, _, code = out.strip().partition("/#code=")
        self.assertEqual((status, err, before), (0, "", f"http://127.0.0.1:{server.port}"))
        client = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))
        answer = await client.post(f"{before}/api/v1/session", headers={"Authorization": f"Bearer {code}"})
        me = f"uid:{os.geteuid()}"
        self.assertEqual((answer.code, (await answer.json())["name"]), (201, me))
        [cookie] = answer.headers.getRawHeaders("set-cookie")

        async def get(path: str) -> Any:
            found = await client.get(f"{before}/api/v1/{path}", headers={"Cookie": cookie.partition(";")[0]})
            return await found.json()

        session, settings, overview = await get("session"), await get("settings"), await get("overview")
        self.assertEqual((session["name"], session["role"]), (me, "admin"))
        self.assertIsNotNone(settings["started_at"])
        [node] = overview["nodes"]
        self.assertEqual((node["id"], node["version"]), (settings["node_id"], settings["version"]))
        self.assertEqual(overview["attention"], [])

    @in_reactor()
    async def test_url(self) -> None:
        """An address of this machine is that of its node; another one is sent no token but that of the variable."""
        server = await self.own_process().start()
        here = f"http://127.0.0.1:{server.port}"
        self.assertEqual((await self.call(server, "stats", "--url", here))[0], 0)
        status, _, err = await self.call(server, "stats", "--url", here, COPILOT_HTTP_TOKEN="wrong")
        self.assertEqual(status, 1)
        self.assertIn("COPILOT_HTTP_TOKEN", err)
        elsewhere = f"http://localhost.localdomain:{server.port}"  # may lead here, but does not say so
        self.assertEqual((await self.call(server, "stats", "--url", elsewhere))[0], 1)

    @in_reactor()
    async def test_somebody_else_has_the_port(self) -> None:
        """While the node is down, its token is not given to whoever listens in its place."""
        server = await self.own_process().start()
        token = (self.state(server) / "http-token").read_text().strip()
        await server.stop()
        received: list[bytes] = []
        listening = socket.create_server(("127.0.0.1", server.port))
        self.addCleanup(listening.close)

        def answer() -> None:
            connection, _ = listening.accept()
            received.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            connection.close()

        answered = deferToThread(answer)
        self.assertEqual((await self.call(server, "stats"))[0], 1)
        await answered
        self.assertNotIn(token.encode(), received[0])

    @in_reactor()
    async def test_node_of_another_configuration(self) -> None:
        """Commands for one node never reach another whose socket is in the same state directory."""
        server = await self.own_process().start()
        nowhere = str(free_port())
        status, _, err = await self.call(server, "stats", COPILOT_HTTP_PORT=nowhere)
        self.assertEqual(status, 1)
        self.assertIn(f"no answer from http://127.0.0.1:{nowhere}", err)

    @in_reactor()
    async def test_two_nodes_in_one_state_directory(self) -> None:
        """The second one goes without the socket, and leaves that of the first alone."""
        first, second = await self.own_process().start(), self.own_process()
        second.environ["COPILOT_STATE_DIR"] = first.environ["COPILOT_STATE_DIR"]
        await second.start()
        self.assertIn("Without http.sock the command line needs a token", second.log)
        self.assertIn("jobs", await self.answer(first, "stats"))
        status, _, err = await self.call(second, "stats")
        self.assertEqual(status, 1)
        self.assertIn("set COPILOT_HTTP_TOKEN", err)
        token = (self.state(first) / "http-token").read_text().strip()
        self.assertIn("jobs", await self.answer(second, "stats", COPILOT_HTTP_TOKEN=token))
        await second.stop()
        self.assertTrue((self.state(first) / "http.sock").exists())

    @in_reactor()
    async def test_removed(self) -> None:
        """Its file, with its directory if need be, is made anew with its mode."""
        node = await self.node()
        path = node.node.config.state_dir / "http.sock"
        for remove in (path.unlink, lambda: shutil.rmtree(path.parent)):
            mode = stat.S_IMODE(path.parent.stat().st_mode)
            remove()
            node.node.ports.look()
            self.assertEqual(probe(path), "live")
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), mode)
        await node.stop()
        self.assertEqual(probe(path), "free")

    @in_reactor()
    async def test_other_users(self) -> None:
        """They can't even connect."""
        if os.geteuid() != 0:
            raise SkipTest("only root can become another user")
        server = await self.own_process().start()
        path = self.state(server) / "http.sock"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        server.directory.chmod(0o711)
        arguments = [sys.executable, "-c", _CONNECT, str(path), str(NOBODY)]
        program, _ = run_program(arguments, {}, server.directory)
        self.assertEqual((await program.ended, program.out), (0, b"refused\n"), program.err)

    @in_reactor()
    async def test_planted_socket(self) -> None:
        """In a directory that others may write to, the socket may be anybody's."""
        server = await self.own_process().start()
        self.state(server).chmod(0o777)
        status, _, err = await self.call(server, "stats")
        self.assertEqual(status, 1)
        self.assertIn("Unauthorized", err)

    @in_reactor()
    async def test_no_node_yet(self) -> None:
        """Before a first start there is no token to print."""
        status, _, err = await self.call(self.own_process(), "token")
        self.assertEqual(status, 1)
        self.assertIn("a node makes it when it starts", err)
