"""Wheel and sdist: the same bytes wherever they are built, everything in them, and nodes that run from them."""

import atexit
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import SkipTest, skipUnless
from urllib.request import urlopen

from twisted.trial.unittest import SynchronousTestCase

import copilot_socket
from ops.tests.support import CHECKOUT
from tests.support.postgres import drop_database, fresh_database
from tests.support.server import free_port, short_directory

"""What is built: tox runs tests out of the checkout's way, and says where it is."""
MOMENT = "1700000000"
"""Seconds since the epoch."""
PATIENCE = 60.0
DASHBOARD = "copilot_socket/dashboard"
VENDOR = f"{DASHBOARD}/vendor"
MODULES = {"hooks.js", "htm.js", "preact.js", "uplot.js"}
_SUITABLE = (
    "import sys, importlib.util as u; print(sys.version_info >= (3, 11) and u.find_spec('ensurepip') is not None)"
)

buildable = skipUnless(
    (CHECKOUT / "setup.cfg").exists() and importlib.util.find_spec("build"),
    "needs a checkout (COPILOT_CHECKOUT) and the module build",
)


def environment(**more: str) -> dict[str, str]:
    """What a user would have: nothing of this test run's Python path or configuration."""
    ours = ("PYTHON", "COPILOT_", "SOCKET_", "DATABASE_", "SEED_", "TOX_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def libraries() -> dict[str, Any]:
    """What npm's lock says of each library of the dashboard, by its name."""
    packages = json.loads((CHECKOUT / DASHBOARD / "package-lock.json").read_text("utf-8"))["packages"]
    return {path.removeprefix("node_modules/"): each for path, each in packages.items() if path and "dev" not in each}


def run(*command: str | Path, environ: Mapping[str, str] | None = None, umask: int = 0o022) -> str:
    """What *command* prints on standard output; it must work."""
    answer = subprocess.run(
        [str(word) for word in command],
        env=environment() if environ is None else environ,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
    )
    if answer.returncode != 0:
        raise AssertionError(f"{command}: {answer.returncode}\n{answer.stdout}\n{answer.stderr}")
    return answer.stdout


def left_out(directory: str, names: list[str]) -> set[str]:
    """What is made in a checkout and is no source."""
    made = {"dist", "build", "__pycache__", "results", "node_modules", "vendor"}
    folders = {name for name in names if (Path(directory) / name).is_dir()}
    return {name for name in folders if name in made or name.startswith((".", "_trial_temp"))} | {
        name for name in folders if name.endswith(".egg-info")
    }


@cache
def workshop() -> Path:
    """A directory for all that is built here, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="copilot-packaging-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@cache
def built(name: str, umask: int) -> dict[str, Path]:
    """The wheel and the sdist, built from a copy of the sources in a directory *name*."""
    sources = workshop() / name / "sources"
    shutil.copytree(CHECKOUT, sources, symlinks=True, ignore=left_out)
    if umask != 0o022:
        for path in sources.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode & ~umask)
                os.utime(path, (1.5e9, 1.5e9))
    made = workshop() / name / "made"
    environ = environment(SOURCE_DATE_EPOCH=MOMENT)
    run(sys.executable, sources / "ops" / "build", made, environ=environ, umask=umask)
    [wheel], [sdist] = made.glob("*.whl"), made.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist, "sources": sources}


def ours() -> dict[str, Path]:
    """As an administrator builds it."""
    return built("first", 0o022)


@cache
def tools() -> Path:
    """Where pipx and uv are."""
    directory = workshop() / "tools"
    venv.create(directory, with_pip=True)
    run(directory / "bin" / "pip", "install", "--quiet", "pipx", "uv")
    return directory / "bin"


@buildable
class BuildTests(SynchronousTestCase):
    """What `ops/build` makes."""

    def test_reproducible(self) -> None:
        """Other directory, other times and modes of the sources, other umask: not a byte differs."""
        one, other = ours(), built("a_second_directory", 0o077)
        for kind in ("wheel", "sdist"):
            self.assertEqual(one[kind].name, other[kind].name)
            self.assertEqual(one[kind].read_bytes(), other[kind].read_bytes(), kind)

    def test_wheel(self) -> None:
        """Every module, schema, migration, statement and script of the sources, and the plugin."""
        sources = ours()["sources"]
        with zipfile.ZipFile(ours()["wheel"]) as wheel:
            there = set(wheel.namelist())
        kinds = (".py", ".sql", ".json", ".js", ".ts", ".typed", ".html", ".css", ".svg")
        package = sources / "copilot_socket"
        files = [path for path in package.rglob("*") if path.suffix in kinds]
        files = [path for path in files if not (DASHBOARD in str(path) and path.suffix == ".json")]
        files += [package / "schemas" / path.name for path in (sources / "schemas").glob("*.json")]
        wanted = {str(path.relative_to(sources)) for path in files} | {"twisted/plugins/copilot_socket_plugin.py"}
        licenses = {f"{name}.LICENSE.txt" for name in libraries()}
        wanted |= {f"{VENDOR}/{name}" for name in {*MODULES, *licenses, "uplot.css"}}
        self.assertEqual(wanted, {name for name in there if ".dist-info/" not in name})
        for name in ("copilot_socket/store/sql/turns.sql", "copilot_socket/schemas/hello.json"):
            self.assertIn(name, there)

    def test_sdist(self) -> None:
        """The sources, and beside them what an administrator and a packager need."""
        with tarfile.open(ours()["sdist"]) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}
            owners = {(member.uid, member.uname, member.mtime) for member in sdist.getmembers()}
        self.assertEqual(owners, {(0, "", int(MOMENT))})
        self.assertFalse([name for name in names if "/vendor/" in name or name.startswith("LICENSE-")])
        for name in (
            "copilot_socket/dashboard/package-lock.json",
            "copilot_socket/dashboard/package.json",
            "docs/configuration.md",
            "ops/backend/backend.py",
            "ops/build",
            "tests/test_config.py",
            "CHANGELOG.md",
            "schemas/hello.json",
        ):
            self.assertIn(name, names)

    def test_wheel_without_the_sdist(self) -> None:
        """Built straight from the sources the wheel is the same one."""
        into = workshop() / "straight"
        environ = environment(SOURCE_DATE_EPOCH=MOMENT)
        run(
            *(sys.executable, "-m", "build", "--quiet", "--wheel", "--outdir", into, ours()["sources"]),
            environ=environ,
        )
        [wheel] = into.glob("*.whl")
        self.assertEqual(wheel.read_bytes(), ours()["wheel"].read_bytes())

    def test_distribution(self) -> None:
        """The distribution's own Python, which may be an early 3.11, builds the same bytes."""
        distribution = Path("/usr/bin/python3")
        if not distribution.exists() or run(distribution, "-c", _SUITABLE).strip() != "True":
            raise SkipTest("/usr/bin/python3 is not 3.11 or newer, or has no venv")
        into = workshop() / "distribution"
        run(distribution, "-m", "venv", into / "venv")
        python = into / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "build")
        run(python, ours()["sources"] / "ops" / "build", into / "made", environ=environment(SOURCE_DATE_EPOCH=MOMENT))
        for kind in ("wheel", "sdist"):
            made = into / "made" / ours()[kind].name
            self.assertEqual(made.read_bytes(), ours()[kind].read_bytes(), kind)

    def test_version(self) -> None:
        """One version: the package's is the wheel's and the sdist's, and the change log's newest."""
        version = copilot_socket.__version__
        self.assertEqual(ours()["wheel"].name, f"copilot_socket-{version}-py3-none-any.whl")
        self.assertEqual(ours()["sdist"].name, f"copilot_socket-{version}.tar.gz")
        released = re.findall(
            r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE
        )
        self.assertEqual(released[0], version)


@buildable
class InstallTests(SynchronousTestCase):
    """Installed in each way that the guide names, out of the checkout's reach, with a node started."""

    def assert_works(self, copilot_socket_: Path, twistd: Path) -> None:
        """Both programs know their ways, and a node starts on tables that the installed migrations make."""
        self.assertIn(copilot_socket.__version__, run(copilot_socket_, "--version"))
        self.assertRegex(run(twistd, "--help"), r"copilot-socket +The job server")
        self.assertIn("--socket-path", run(twistd, "copilot-socket", "--help"))
        url, directory, port = fresh_database(migrated=False), short_directory(), free_port()
        self.addCleanup(drop_database, url)
        self.addCleanup(shutil.rmtree, directory)
        environ = environment(DATABASE_URL=url, SOCKET_PATH=str(directory / "c.sock"), COPILOT_HTTP_PORT=str(port))
        run(copilot_socket_, "migrate", environ=environ)
        self.assertEqual(json.loads(run(copilot_socket_, "seed", "--json", environ=environ))["account"], "demo")
        command = [copilot_socket_, "run"]
        with subprocess.Popen(command, env=environ, cwd=directory, stdout=subprocess.DEVNULL) as node:
            try:
                self.wait_until_ready(port, node)
            finally:
                node.send_signal(signal.SIGTERM)
            self.assertEqual(node.wait(PATIENCE), 0)

    def wait_until_ready(self, port: int, node: "subprocess.Popen[bytes]") -> None:
        """Ask until the node serves."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.assertIsNone(node.poll(), "the node has ended")
            try:
                with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=60):
                    return
            except OSError:
                time.sleep(0.05)
        self.fail("the node is not ready")

    def test_pip(self) -> None:
        """`pip install` of the wheel into a fresh environment."""
        directory = workshop() / "venv"
        venv.create(directory, with_pip=True)
        run(directory / "bin" / "pip", "install", "--quiet", ours()["wheel"])
        self.assert_works(directory / "bin" / "copilot-socket", directory / "bin" / "twistd")

    def test_pipx(self) -> None:
        """`pipx install`: one program on the path, twistd beside it in the environment."""
        home = workshop() / "pipx"
        environ = environment(PIPX_HOME=str(home), PIPX_BIN_DIR=str(home / "bin"), PIPX_MAN_DIR=str(home / "man"))
        run(tools() / "pipx", "install", "--backend", "pip", ours()["wheel"], environ=environ)
        self.assertEqual([path.name for path in (home / "bin").iterdir()], ["copilot-socket"])
        self.assert_works(home / "bin" / "copilot-socket", home / "venvs" / "copilot-socket" / "bin" / "twistd")

    def test_uv(self) -> None:
        """`uv tool install`, with txpostgres made into a wheel before: its .tar.bz2 is none of uv's formats."""
        home = workshop() / "uv"
        environ = environment(UV_TOOL_DIR=str(home), UV_TOOL_BIN_DIR=str(home / "bin"))
        wheels = home / "wheels"
        run(tools() / "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, "txpostgres")
        run(tools() / "uv", "tool", "install", "--find-links", wheels, ours()["wheel"], environ=environ)
        self.assertEqual([path.name for path in (home / "bin").iterdir()], ["copilot-socket"])
        self.assert_works(home / "bin" / "copilot-socket", home / "copilot-socket" / "bin" / "twistd")
