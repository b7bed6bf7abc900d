"""constraints.txt: complete for every supported Python, installed with its hashes, and written down as CycloneDX."""

import configparser
import importlib.metadata
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from unittest import skipUnless

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.trial.unittest import SynchronousTestCase

import copilot_socket
from ops.tests.support import CHECKOUT
from ops.tests.test_packaging import buildable, environment, libraries, ours, run, workshop
from tests.support.postgres import reachable_directory
from tests.support.server import free_port, short_directory

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
INSTALLED = (
    "import importlib.metadata as m, json; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
)


def pinned() -> dict[str, str]:
    """Name → version, of constraints.txt."""
    text = (CHECKOUT / "constraints.txt").read_text()
    return {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", text)}


def wanted() -> list[Requirement]:
    """What setup.cfg asks for."""
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / "setup.cfg")
    lines = parser["options"]["install_requires"].splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@skipUnless((CHECKOUT / "setup.cfg").exists(), "needs a checkout (COPILOT_CHECKOUT)")
class ConstraintsTests(SynchronousTestCase):
    """The file, without a look at any index."""

    def test_hashes(self) -> None:
        """Every version has hashes, and no line says where packages come from."""
        text = (CHECKOUT / "constraints.txt").read_text()
        entries = re.findall(r"(?m)^([\w.-]+)==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", text)
        self.assertEqual(len(entries), len(pinned()))
        self.assertNotRegex(text, r"(?m)^ *--(?!hash)|://")

    def test_what_is_wanted(self) -> None:
        """Each dependency of setup.cfg is there, in a version that it allows."""
        versions = pinned()
        for requirement in wanted():
            self.assertIn(canonicalize_name(requirement.name), versions)
            version = versions[canonicalize_name(requirement.name)]
            self.assertTrue(requirement.specifier.contains(version), f"{requirement}, not {version}")

    def test_complete(self) -> None:
        """Nothing is missing that any supported Python needs, on either architecture, and nothing else is there."""
        needed: set[str] = set()
        for python in PYTHONS:
            for machine in ("x86_64", "aarch64"):
                needed |= self._closure({"python_version": python, "platform_machine": machine})
        self.assertEqual(needed, set(pinned()))

    def _closure(self, where: dict[str, str]) -> set[str]:
        """Names of everything that is needed, by what is installed here says of itself."""
        where = where | {"python_full_version": f"{where['python_version']}.0"}
        found: set[str] = set()
        queue = wanted()
        while queue:
            requirement = queue.pop()
            name = canonicalize_name(requirement.name)
            if name not in found or requirement.extras:
                found.add(name)
                of_it = [Requirement(line) for line in importlib.metadata.requires(requirement.name) or ()]
                for extra in ("", *requirement.extras):
                    of_extra = {**where, "extra": extra}
                    queue += [each for each in of_it if each.marker is None or each.marker.evaluate(of_extra)]
        return found

    def test_imports_are_declared(self) -> None:
        """Whatever the package imports is a dependency of its own, not only of another one."""
        providers = importlib.metadata.packages_distributions()
        # What Twisted is made of: its interfaces, and its extra for TLS.
        twisted = {"zope-interface", "pyopenssl", "service-identity"}
        declared = {canonicalize_name(each.name) for each in wanted()} | twisted | {"copilot-socket"}
        for path in (CHECKOUT / "copilot_socket").rglob("*.py"):
            for name in re.findall(r"(?m)^ *(?:from|import) (\w+)", path.read_text()):
                given = {canonicalize_name(each) for each in providers.get(name, ())}
                self.assertTrue(not given or given & declared, f"{path}: {name}")


@buildable
@skipUnless(importlib.util.find_spec("cyclonedx_py"), "needs the module cyclonedx_py (pip install cyclonedx-bom)")
class InstalledTests(SynchronousTestCase):
    """An environment that `ops/sbom` makes."""

    def test_installed_and_written_down(self) -> None:
        """It has these versions and no others, works, and the bill of materials is what is installed."""
        directory = workshop() / "supply"
        directory.mkdir()
        shutil.copy(ours()["wheel"], directory)
        place = directory / "environment"
        run(sys.executable, CHECKOUT / "ops" / "sbom", directory, place)
        installed = {canonicalize_name(name): version for name, version in json.loads(run(*self.python(place)))}
        self.assertEqual(installed, {**pinned(), "copilot-socket": copilot_socket.__version__})
        run(sys.executable, "-m", "pip", "--python", place / "bin" / "python", "check")
        [bill] = directory.glob("*.cdx.json")
        self.assertEqual(bill.name, f"copilot_socket-{copilot_socket.__version__}.cdx.json")
        described = json.loads(bill.read_text())
        self.assertEqual(described["bomFormat"], "CycloneDX")
        of_pypi = [each for each in described["components"] if not each.get("purl", "").startswith("pkg:npm/")]
        components = {canonicalize_name(each["name"]): each["version"] for each in of_pypi}
        self.assertEqual(components, installed)
        self.assertEqual(
            {each["purl"] for each in described["components"] if each not in of_pypi},
            {f"pkg:npm/{name}@{package['version']}" for name, package in libraries().items()},
        )
        self.assert_works(place / "bin" / "copilot-socket")

    def python(self, place: Path) -> tuple[str | Path, ...]:
        """Asks the environment for what is installed."""
        return place / "bin" / "python", "-c", INSTALLED

    def assert_works(self, program: Path) -> None:
        """It tells its version, and that a node can run."""
        self.assertIn(copilot_socket.__version__, run(program, "--version"))
        state, directory = reachable_directory(), short_directory()
        self.addCleanup(shutil.rmtree, state)
        self.addCleanup(shutil.rmtree, directory)
        environ = environment(
            COPILOT_STATE_DIR=str(state / "state"),
            SOCKET_PATH=str(directory / "c.sock"),
            COPILOT_HTTP_PORT=str(free_port()),
        )
        self.assertIn("A node can run here.", run(program, "check", environ=environ))
