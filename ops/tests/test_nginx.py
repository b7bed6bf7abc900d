"""The site file for nginx, in front of a real node: TLS, HTTP/2, live events, limits."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copilot_socket.http.dashboard import POLICY
from ops.tests.support import OPS, needs
from tests.support.crawler import in_reactor, until
from tests.support.server import (
    NodeTestCase,
    Program,
    ServerProcess,
    beside_python,
    free_port,
    get_json,
    run_program,
    short_directory,
)

NAME = "copilot.example.org"
TOKEN = "a-token-of-the-test-0123456789"
LIMIT = 16 * 1024 * 1024
BROWSERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Headers of every answer, besides Cache-Control."""
MAIN = """
daemon off;
pid {prefix}/nginx.pid;
worker_processes 1;
worker_shutdown_timeout 2s;
error_log {prefix}/error.log info;
{user}
events {{ }}
http {{
    include /etc/nginx/mime.types;
    access_log {prefix}/access.log;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    include {prefix}/copilot-socket.conf;
}}
"""


def replaced(text: str, old: str, new: str) -> str:
    """*text* with *old*, which must be there, as *new*."""
    assert old in text, f"the site file has no {old!r}"
    return text.replace(old, new)


class Nginx:
    """An nginx of its own before the node at *node_port*: the site file, but for ports and paths."""

    def __init__(self, node_port: int) -> None:
        self.prefix = short_directory()
        self.plain_port, self.port = free_port(), free_port()
        self.certificate = self.prefix / "fullchain.pem"
        self._make_certificate()
        (self.prefix / "copilot-socket.conf").write_text(self._site(node_port), "utf-8")
        user = "user root;" if os.geteuid() == 0 else ""
        (self.prefix / "nginx.conf").write_text(MAIN.format(prefix=self.prefix, user=user), "utf-8")
        self.arguments = [
            str(shutil.which("nginx")), "-p", f"{self.prefix}/", "-e", f"{self.prefix}/error.log",
            "-c", f"{self.prefix}/nginx.conf",
        ]  # fmt: skip
        self.program: Program | None = None
        self._process: Any = None

    def _make_certificate(self) -> None:
        key = self.prefix / "privkey.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={NAME}",
             "-addext", f"subjectAltName=DNS:{NAME},DNS:localhost"],
            check=True, capture_output=True,
        )  # fmt: skip

    def _site(self, node_port: int) -> str:
        site = (OPS / "nginx" / "copilot-socket.conf").read_text("utf-8")
        site = replaced(site, f"/etc/letsencrypt/live/{NAME}", str(self.prefix))
        site = replaced(site, "server 127.0.0.1:3000;", f"server 127.0.0.1:{node_port};")
        for old, new in ((80, self.plain_port), (443, self.port)):
            site = replaced(site, f"listen {old}", f"listen 127.0.0.1:{new}")
            site = replaced(site, f"listen [::]:{old}", f"listen [::1]:{new}")
        if not _has_ipv6():
            site = re.sub(r".*listen \[::1\].*\n", "", site)
        return site

    def check(self) -> str:
        """What ``nginx -t`` says; it must find no fault."""
        return subprocess.run([*self.arguments, "-t"], check=True, capture_output=True, text=True).stderr

    async def start(self) -> "Nginx":
        """Start it and wait until it answers."""
        self.program, self._process = run_program(self.arguments, {}, self.prefix)

        async def answers() -> bool:
            assert self.program is not None and self.program.running, self.program and self.program.err
            return (await get_json(self.plain_port, "/.well-known/acme-challenge/x"))[0] == 404

        await until(answers, "nginx answers")
        return self

    async def stop(self) -> None:
        """End it and leave nothing behind."""
        if self.program is not None and self.program.running:
            os.kill(self._process.pid, signal.SIGTERM)
            await self.program.ended
        shutil.rmtree(self.prefix, ignore_errors=True)

    def curl(self, path: str, *words: str, scheme: str = "https") -> Program:
        """Ask it for *path* by curl, which knows its certificate and nothing else about it."""
        port = self.port if scheme == "https" else self.plain_port
        arguments = [
            str(shutil.which("curl")), "--silent", "--show-error", "--noproxy", "*",
            "--cacert", str(self.certificate), "--resolve", f"{NAME}:{port}:127.0.0.1", *words, f"{scheme}://{NAME}:{port}{path}",
        ]  # fmt: skip
        return run_program(arguments, {}, self.prefix)[0]


def _has_ipv6() -> bool:
    addresses = Path("/proc/net/if_inet6")
    return addresses.exists() and "00000000000000000000000000000001" in addresses.read_text("ascii")


@needs("nginx", "curl", "openssl")
class NginxTests(NodeTestCase):
    """Debian's nginx with the site file."""

    async def site(self) -> tuple[ServerProcess, Nginx]:
        """A node, and nginx before it."""
        node = await self.process(COPILOT_HTTP_TOKEN=TOKEN).start()
        nginx = Nginx(node.port)
        self.addCleanup(nginx.stop)
        return node, await nginx.start()

    async def answer(self, nginx: Nginx, path: str, *words: str, scheme: str = "https") -> tuple[str, str]:
        """The headers, in lower case, and the body."""
        program = nginx.curl(path, "--include", *words, scheme=scheme)
        self.assertEqual(await program.ended, 0, program.err)
        text = program.out.decode().replace("\r\n", "\n")
        while re.match(r"HTTP/[0-9.]+ 1[0-9][0-9]", text):  # 100 Continue
            text = text.partition("\n\n")[2]
        head, _, body = text.partition("\n\n")
        return head.lower(), body

    @in_reactor()
    async def test_the_site(self) -> None:
        """`nginx -t` finds no fault, and the API, health, redirect, /metrics and errors are as the file says."""
        node, nginx = await self.site()
        said = nginx.check()
        self.assertIn("syntax is ok", said)
        self.assertNotIn("[warn]", said)

        bearer = ("--header", f"Authorization: Bearer {TOKEN}")
        head, body = await self.answer(nginx, "/api/v1/stats", "--http2", *bearer)
        self.assertTrue(head.startswith("http/2 200"), head)
        self.assertIn("jobs", json.loads(body))
        self.assertNotIn("nginx/", head)

        self.assertTrue((await self.answer(nginx, "/api/v1/stats"))[0].startswith("http/2 401"))
        self.assertTrue((await self.answer(nginx, "/health/ready", "--http1.1"))[0].startswith("http/1.1 200"))
        for path in ("/metrics", "/%6Detrics", "//metrics", "/metrics?x"):
            head, body = await self.answer(nginx, path, "--path-as-is", *bearer)
            self.assertTrue(head.startswith("http/2 403"), (path, head))
            self.assertNotIn("copilot_", body)

        head, _ = await self.answer(nginx, "/api/v1/jobs?limit=1", scheme="http")
        self.assertTrue(head.startswith("http/1.1 308"), head)
        self.assertIn(f"location: https://{NAME}/api/v1/jobs?limit=1", head)

        for version, works in (("1.1", False), ("1.2", True), ("1.3", True)):
            program = nginx.curl("/health/live", f"--tlsv{version}", "--tls-max", version)
            self.assertEqual(await program.ended == 0, works, (version, program.err))

        await node.stop()
        head, body = await self.answer(nginx, "/api/v1/stats", *bearer)
        self.assertTrue(head.startswith("http/2 502"), head)
        self.assertIn("content-type: application/problem+json", head)
        self.assertEqual(json.loads(body)["status"], 502)

    @in_reactor()
    async def test_headers(self) -> None:
        """Every answer has each header for browsers once: those of the node as it sends them, else nginx's."""
        node, nginx = await self.site()
        bearer = ("--header", f"Authorization: Bearer {TOKEN}")
        large = nginx.prefix / "large"
        large.write_bytes(b" " * (LIMIT + 1))
        events = ("--max-time", "1", *bearer)

        page = {"content-security-policy": POLICY, "referrer-policy": "same-origin"}

        async def check(
            status: int,
            path: str,
            *words: str,
            cache: str = "no-store",
            ended: int = 0,
            own: Mapping[str, str] = BROWSERS,
        ) -> None:
            program = nginx.curl(path, "--include", *words)
            self.assertEqual(await program.ended, ended, program.err)
            lines = program.out.decode().replace("\r\n", "\n").partition("\n\n")[0].splitlines()
            self.assertIn(str(status), lines[0])
            given = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:])]
            for name, value in {**BROWSERS, **own, "cache-control": cache}.items():
                self.assertEqual([each for key, each in given if key == name], [value], (path, name))

        await check(200, "/api/v1/stats", *bearer)
        await check(401, "/api/v1/stats")
        await check(404, "/none", *bearer)
        await check(200, "/health/live")
        await check(200, "/client.js", cache="no-cache")
        await check(200, "/", cache="no-cache", own=page)
        await check(200, "/dashboard/main.js", cache="no-cache")
        await check(200, "/api/v1/events", *events, cache="no-cache", ended=28)  # curl's time is up
        await check(403, "/metrics")
        await check(400, "/", "--http1.1", "--header", "Host: a b")
        await check(413, "/api/v1/jobs", "--header", "Expect:", "--data-binary", f"@{large}", *bearer)
        await node.stop()
        await check(502, "/api/v1/stats", *bearer)

    @in_reactor()
    async def test_bodies(self) -> None:
        """A body of 16 MiB reaches the node, one byte more is refused as the API refuses."""
        _node, nginx = await self.site()
        file = nginx.prefix / "body.json"
        words = (
            "--header", f"Authorization: Bearer {TOKEN}", "--header", "Content-Type: application/json",
            "--data-binary", f"@{file}",
        )  # fmt: skip
        for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
            file.write_bytes(b"[" + b" " * (size - 2) + b"]")
            head, body = await self.answer(nginx, "/api/v1/jobs", *words)
            self.assertTrue(head.startswith(f"http/2 {status}"), head)
        self.assertIn("content-type: application/problem+json", head)
        self.assertEqual(json.loads(body)["status"], 413)

    async def streams(self, node: ServerProcess) -> int:
        """How many streams of events the node has open, by its own port."""
        environ = {"COPILOT_HTTP_TOKEN": TOKEN}
        curl = [str(shutil.which("curl")), "--silent", "--header", f"Authorization: Bearer {TOKEN}"]
        program, _ = run_program([*curl, f"http://127.0.0.1:{node.port}/metrics"], environ, node.directory)
        await program.ended
        found = re.search(r"^copilot_event_streams ([0-9.]+)$", program.out.decode(), re.MULTILINE)
        assert found is not None, program.out
        return int(float(found[1]))

    async def put_job(self, nginx: Nginx, path: str) -> str:
        """Put a job in by way of nginx; its id."""
        _, body = await self.answer(
            nginx, "/api/v1/jobs", "--header", f"Authorization: Bearer {TOKEN}",
            "--header", "Content-Type: application/json",
            "--data", json.dumps({"account_id": "acct", "command": "issues", "full_path": path}),
        )  # fmt: skip
        return str(json.loads(body)["id"])

    @in_reactor()
    async def test_live_events(self) -> None:
        """An event arrives while its stream goes on, before any keep-alive; who goes away leaves no stream behind."""
        node, nginx = await self.site()
        for version in ("--http2", "--http1.1"):
            stream = nginx.curl("/api/v1/events", version, "--no-buffer", "-H", f"Authorization: Bearer {TOKEN}")
            await until(lambda stream=stream: b"retry: " in stream.out, "the stream has begun")
            job_id = await self.put_job(nginx, f"g/{version}")
            await until(lambda stream=stream, job=job_id: job.encode() in stream.out, "the event has come")
            self.assertTrue(stream.running)
            self.assertNotIn(b"keep-alive", stream.out)
            self.assertEqual(await self.streams(node), 1)
            stream.transport.signalProcess("KILL")
            await stream.ended

            async def gone() -> bool:
                return await self.streams(node) == 0

            await until(gone, "the node knows that the client has gone")

    @in_reactor()
    async def test_tail(self) -> None:
        """`copilot-socket tail` works by way of nginx."""
        node, nginx = await self.site()
        environ = {"COPILOT_HTTP_TOKEN": TOKEN, "SSL_CERT_FILE": str(nginx.certificate)}
        arguments = [beside_python("copilot-socket"), "tail", "--json", "--url", f"https://localhost:{nginx.port}"]
        tail, process = run_program(arguments, environ, nginx.prefix)

        async def watches() -> bool:
            assert tail.running, tail.err
            return await self.streams(node) == 1

        await until(watches, "it watches")
        job_id = await self.put_job(nginx, "g/p")
        await until(lambda: b"\n" in tail.out, "it prints an event")
        self.assertEqual(json.loads(tail.out)["data"]["id"], job_id)
        process.signalProcess("INT")
        self.assertEqual(await tail.ended, 0)
