"""ops/docker: linted and resolved with the real tools, and all that it runs run here, without Docker's engine.

Skipped where a tool is missing: hadolint and docker-compose come as wheels, unshare and setpriv with util-linux.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ops.tests.docker import FILES, UID, Dockerfile, Sandbox, copy_sources
from ops.tests.support import CHECKOUT, OPS, needs
from tests.support.crawler import TestCrawler, in_reactor, until
from tests.support.postgres import drop_database, fresh_database, reachable_directory
from tests.support.server import TOKEN, Program, beside_python, free_port, get_json, run_for, short_directory

DOCKERFILE = Dockerfile(FILES / "Dockerfile")
"""What is built: tox runs tests out of the checkout's way, and says where it is."""
HEALTHY = "/usr/local/lib/healthy.py"
SECRETS = ("POSTGRES_PASSWORD", "COPILOT_SECRET_KEY", "COPILOT_HTTP_TOKEN", "GRAFANA_PASSWORD")


def run(*command: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """What came of *command*."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **more)


def here(command: list[str]) -> list[str]:
    """A command of the image as it is called on this machine."""
    if command[0] == "python":
        return [sys.executable, *(str(FILES / "healthy.py") if word == HEALTHY else word for word in command[1:])]
    return [beside_python(command[0]), *command[1:]]


class DockerfileTests(SynchronousTestCase):
    """The Dockerfile."""

    @needs("hadolint")
    def test_lint(self) -> None:
        """hadolint has nothing to say."""
        self.assertEqual(run("hadolint", str(FILES / "Dockerfile")).stdout, "")

    def test_shape(self) -> None:
        """Two stages on one slim base; not root; what it names is there."""
        self.assertEqual(len({stage[0][1].split(" AS ")[0] for stage in DOCKERFILE.stages}), 1)
        self.assertIn("-slim", DOCKERFILE.stages[0][0][1])
        self.assertEqual(DOCKERFILE.all("USER"), [f"{UID}:{UID}"])
        self.assertEqual(DOCKERFILE.all("STOPSIGNAL"), ["SIGTERM"])
        self.assertIn(f"ops/docker/healthy.py {HEALTHY}", DOCKERFILE.all("COPY"))
        self.assertIn("!ops/docker/healthy.py\n", (FILES / "Dockerfile.dockerignore").read_text())
        self.assertEqual(DOCKERFILE.command("HEALTHCHECK"), ["python", HEALTHY, "/health/live"])


@skipUnless((CHECKOUT / "setup.cfg").exists(), "needs a checkout (COPILOT_CHECKOUT)")
class BuildTests(SynchronousTestCase):
    """The first stage."""

    def test_wheel(self) -> None:
        """From just what the image gets, a wheel is built that holds schemas, migrations and the twistd plugin."""
        directory = short_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        source, wheels, installed = (directory / name for name in ("src", "wheels", "installed"))
        source.mkdir()
        copy_sources(DOCKERFILE, CHECKOUT, source)
        pip = [sys.executable, "-m", "pip"]
        build = run(*pip, "wheel", "--no-cache-dir", "--no-deps", "--wheel-dir", str(wheels), ".", cwd=source)
        self.assertEqual(build.returncode, 0, build.stderr)
        [wheel] = wheels.iterdir()
        install = run(*pip, "install", "--no-deps", "--target", str(installed), str(wheel))
        self.assertEqual(install.returncode, 0, install.stderr)
        outcome = run(beside_python("twistd"), "--help", cwd="/", env={"PYTHONPATH": str(installed)})
        self.assertIn("copilot-socket", outcome.stdout)
        self.assertTrue((installed / "twisted" / "plugins" / "copilot_socket_plugin.py").is_file())
        self.assertTrue((installed / "copilot_socket" / "schemas" / "hello.json").is_file())
        self.assertTrue(list((installed / "copilot_socket" / "store" / "migrations" / "versions").glob("*.sql")))


@needs("unshare", "setpriv")
@skipUnless(os.geteuid() == 0, "only root makes mount namespaces")
class ReadOnlyTests(TestCase):
    """The image's command as the image runs it: another user, process 1, and nothing writable but the volumes."""

    @in_reactor()
    async def test_read_only_root(self) -> None:
        """It starts with its embedded database, is healthy by the image's own check, and ends in order on SIGTERM."""
        directory = reachable_directory("cs-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        state, sockets = directory / "state", directory / "run"
        state.mkdir(mode=0o711)
        sockets.mkdir(mode=0o750)
        port = str(free_port())
        environ = {
            "COPILOT_ENV": DOCKERFILE.environment["COPILOT_ENV"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "COPILOT_HTTP_PORT": port,
            "COPILOT_HTTP_TOKEN": TOKEN,
            "COPILOT_STATE_DIR": str(state),
            "SOCKET_PATH": str(sockets / "crawler.sock"),
        }
        sandbox = Sandbox(here(DOCKERFILE.command("CMD")), environ, directory, [state, sockets])
        self.addCleanup(lambda: Deferred.fromCoroutine(sandbox.clean_up()))
        check = here(DOCKERFILE.command("HEALTHCHECK"))

        async def healthy() -> bool:
            self.assertTrue(sandbox.program.running, sandbox.output)
            done = await deferToThread(run, *check[:-1], "/health/ready", env={"COPILOT_HTTP_PORT": port})
            return done.returncode == 0

        await until(healthy, "the node is ready")
        self.assertEqual(run(*check, env={"COPILOT_HTTP_PORT": port}).returncode, 0)
        await self._crawlers_of_another_namespace(environ["SOCKET_PATH"], int(port))
        status = Path(f"/proc/{sandbox.pid}/status").read_text()
        self.assertIn(f"Uid:\t{UID}\t{UID}", status)
        self.assertIn("NSpid:", status)
        self.assertTrue(status.split("NSpid:")[1].splitlines()[0].endswith("\t1"), "it is not process 1")
        sandbox.signal(signal.SIGTERM)
        self.assertEqual(await sandbox.program.ended, 0, sandbox.output)

    async def _crawlers_of_another_namespace(self, socket: str, port: int) -> None:
        """The node can't see their pid: each plain connection is a crawler of its own; hello tells who is who."""
        for name in ("plain", "plain", "named", "named"):
            crawler = await TestCrawler.connect(socket, name)
            self.addCleanup(crawler.hang_up)
            if name == "named":
                await crawler.hello()
            else:
                crawler.heartbeat()

        async def told_apart() -> bool:
            _, stats = await get_json(port, "/api/v1/stats")
            return (stats["crawlers"]["connected"], stats["crawlers"]["plain"]) == (3, 2)

        await until(told_apart, "two plain crawlers and one other are connected")


class ComposeTestCase(TestCase):
    """The compose file, resolved with secrets that make-env made."""

    def setUp(self) -> None:
        self.directory = short_directory()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        for name in ("docker", "prometheus", "grafana"):
            shutil.copytree(OPS / name, self.directory / "ops" / name)
        self.files = self.directory / "ops" / "docker"
        self.env = self.files / ".env"
        self.env.unlink(missing_ok=True)  # of a developer's own trial

    def make_env(self) -> dict[str, str]:
        """The secrets."""
        self.assertEqual(run(str(self.files / "make-env")).returncode, 0)
        lines = [line for line in self.env.read_text().splitlines() if not line.startswith("#")]
        return dict(line.split("=", 1) for line in lines)

    def resolve(self) -> Any:
        """The whole of it, as docker-compose understands it."""
        command = ["docker-compose", "--file", str(self.files / "compose.yml"), "--profile", "demo", "config"]
        outcome = run(*command, "--format", "json")
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        return json.loads(outcome.stdout)


@needs("docker-compose", "openssl")
class ComposeTests(ComposeTestCase):
    """What docker-compose makes of the file."""

    def test_secrets_first(self) -> None:
        """Without .env it says what to do; make-env makes one for its owner's eyes, once."""
        outcome = run("docker-compose", "--file", str(self.files / "compose.yml"), "config", "--quiet")
        self.assertIn("run make-env first", outcome.stderr)
        secrets = self.make_env()
        self.assertEqual(sorted(secrets), sorted(SECRETS))
        self.assertEqual(self.env.stat().st_mode & 0o777, 0o600)
        again = run(str(self.files / "make-env"))
        self.assertEqual(again.returncode, 1)
        self.assertTrue(all(f"{name}={value}\n" in self.env.read_text() for name, value in secrets.items()))

    def test_who_gets_which_secret(self) -> None:
        """Each secret is in the environment of those that need it, and of no other."""
        secrets, services = self.make_env(), self.resolve()["services"]
        seen = {
            name: {service for service, has in services.items() if secret in json.dumps(has.get("environment", {}))}
            for name, secret in secrets.items()
        }
        self.assertEqual(
            seen,
            {
                "POSTGRES_PASSWORD": {"database", "migrate", "server"},
                "COPILOT_SECRET_KEY": {"migrate", "server"},
                "COPILOT_HTTP_TOKEN": {"server", "demo"},
                "GRAFANA_PASSWORD": {"grafana"},
            },
        )

    def test_shape(self) -> None:
        """Images are pinned, files that are mounted exist, ports are on loopback, our containers are locked down."""
        self.make_env()
        services = self.resolve()["services"]
        self.assertEqual(set(services), {"database", "migrate", "server", "demo", "prometheus", "grafana"})
        for name, service in services.items():
            self.assertRegex(service["image"], r":[\w.-]+$")
            self.assertNotIn(":latest", service["image"])
            for port in service.get("ports", ()):
                self.assertEqual(port["host_ip"], "127.0.0.1", name)
            for volume in service.get("volumes", ()):
                if volume["type"] == "bind":
                    self.assertTrue(Path(volume["source"]).exists(), volume["source"])
            if service["image"] == "copilot-socket:local":
                self.assertTrue(service["read_only"], name)
                self.assertEqual(service["cap_drop"], ["ALL"], name)

    @needs("promtool")
    def test_prometheus_as_mounted(self) -> None:
        """With its files where the container has them, Prometheus' configuration is sound and names the node."""
        self.make_env()
        config = self.resolve()
        root, service = self.directory / "root", config["services"]["prometheus"]
        for volume in service["volumes"]:
            if volume["type"] == "bind":
                target = root / volume["target"].lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if Path(volume["source"]).is_dir() else shutil.copy
                copy(volume["source"], target)
        for secret in service["secrets"]:
            self.assertIn(secret["source"], config["secrets"])
            (root / secret["target"].lstrip("/")).write_text("token\n")
        [path] = [word.split("=")[1] for word in service["command"] if word.startswith("--config.file=")]
        outcome = run("promtool", "check", "config", str(root / path.lstrip("/")))
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        self.assertIn("server:3000", (root / "etc/prometheus/targets/nodes.yml").read_text())


@needs("docker-compose", "openssl")
class CommandTests(ComposeTestCase):
    """The commands of its services, one after another, as compose would start them."""

    def start(self, service: dict[str, Any], command: list[str], **other: str) -> tuple[Program, Any]:
        """Run *command* with the environment of *service*, but for what is *other* here."""
        image = {name: value for name, value in DOCKERFILE.environment.items() if name.startswith("COPILOT_ENV")}
        environ = {**image, **(service.get("environment") or {}), **other}
        return run_for(self, here(command), environ, self.directory)

    @in_reactor()
    async def test_migrate_server_demo(self) -> None:
        """The tables are made, the node becomes healthy, and the demo's crawler completes jobs."""
        secrets, services = self.make_env(), self.resolve()["services"]
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        port, socket = free_port(), str(self.directory / "crawler.sock")
        here_and_now = {"COPILOT_HTTP_PORT": str(port), "SOCKET_PATH": socket, "DATABASE_URL": url}
        check = here(services["server"]["healthcheck"]["test"][1:])

        def healthy() -> int:
            return run(*check, env={"COPILOT_HTTP_PORT": str(port)}).returncode

        migrate, _ = self.start(services["migrate"], services["migrate"]["command"], DATABASE_URL=url)
        self.assertEqual(await migrate.ended, 0, migrate.err)
        self.assertEqual(healthy(), 1)
        server, process = self.start(services["server"], DOCKERFILE.command("CMD"), **here_and_now)
        await until(lambda: deferToThread(healthy).addCallback(lambda s: s == 0), "the server is healthy")

        words = [
            socket if word == "/run/copilot-study/crawler.sock" else word for word in services["demo"]["command"]
        ]
        self.assertIn(socket, words)
        demo, crawling = self.start(services["demo"], [*words, "--server", f"http://127.0.0.1:{port}"])
        stats = partial(get_json, port, "/api/v1/stats", token=secrets["COPILOT_HTTP_TOKEN"])
        await until(lambda: stats().addCallback(_some_completed), f"jobs are completed: {server.out!r}")
        for program, running in ((demo, crawling), (server, process)):
            running.signalProcess("TERM")
            self.assertEqual(await program.ended, 0, program.err)


def _some_completed(answer: tuple[int, Any]) -> bool:
    status, document = answer
    return status == HTTPStatus.OK and document["jobs"]["completed"] > 0
