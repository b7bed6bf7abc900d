"""A real systemd for tests: the first process of namespaces of its own, which end with it.

It sees this machine's programs, but a copy of /etc and empty /run, /opt, /var/lib, /var/log and /var/backups, and no
units but those that a test gives it and the few targets that these need. The kernel's settings are read-only to it.
Needs root.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

import copilot_socket
from ops.tests.support import OPS
from tests.support.crawler import reactor, until
from tests.support.server import Program, run_program

PATIENCE = 60.0
"""Seconds to wait for what systemd does."""
LOOK = 0.2
"""Seconds between looks: each starts two programs, on a machine that has enough to do."""
_PROGRAMS = ("unshare", "nsenter", "systemctl", "systemd-sysusers", "systemd-tmpfiles")
_SYSTEMD = Path("/lib/systemd/systemd")
_TARGETS = ("sysinit", "basic", "sockets", "timers", "shutdown", "umount", "network-online", "multi-user", "paths")
_HOME = "/opt/copilot-socket"

_ENTER = """
mkdir "$1" && echo $$ >"$1/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup /bin/sh -e "$2" "$3"
"""
_BOOT = f"""
mount --make-rprivate /
mount --make-rshared /  # as on a machine: the mount of a service's credentials has to reach it
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
for shared in /proc/sys /sys; do mount -o remount,bind,ro $shared; done
given=$1
mount -t tmpfs -o mode=755 tmpfs /run
cp -a "$given" /run/given
mkdir /run/etc /run/empty
cp -a /etc/. /run/etc
mount --bind /run/etc /etc
for directory in /opt /var/lib /var/log /var/backups; do mount -t tmpfs -o mode=755 tmpfs $directory; done
mount --bind /run/given/targets /usr/lib/systemd/system
mount --bind /run/empty /usr/lib/systemd/system-generators
rm -rf /etc/systemd/system
cp -a /run/given/units /etc/systemd/system

cp -a /run/given/installed {_HOME}
cd {_HOME}
mkdir python packages source
mount --bind {sys.base_prefix} python
mount --bind {sysconfig.get_path("purelib")} packages
mount --bind {Path(copilot_socket.__file__).parents[1]} source

mkdir -p /etc/sysusers.d /etc/tmpfiles.d
cp {_HOME}/ops/sysusers.d/* /etc/sysusers.d
cp {_HOME}/ops/tmpfiles.d/* /etc/tmpfiles.d
systemd-sysusers /etc/sysusers.d/copilot-socket.conf
systemd-tmpfiles --create /etc/tmpfiles.d/copilot-socket.conf
cp /run/given/environment /etc/copilot-study/environment

mount -t cgroup2 cgroup2 /sys/fs/cgroup
touch /run/console
mount --bind /run/console /dev/console
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin {_SYSTEMD} --unit=test.target --log-target=console
"""
# The interpreter and its packages may live where the units may not look (in a home directory, in /tmp).
_PYTHON = f"""#!/bin/sh
export LD_LIBRARY_PATH={_HOME}/python/lib PYTHONPATH={_HOME}/source:{_HOME}/packages
exec {_HOME}/python/bin/python3.{sys.version_info.minor} -B "$@"
"""
_SCRIPTS = {
    "twistd": "from twisted.scripts.twistd import run; run()",
    "copilot-socket": "import sys; from copilot_socket.cli.main import main; sys.exit(main())",
}


def unified_cgroup() -> Path | None:
    """Where the unified hierarchy is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


def _possible() -> bool:
    if os.geteuid() != 0 or unified_cgroup() is None or not _SYSTEMD.exists():
        return False
    if any(shutil.which(program) is None for program in _PROGRAMS):
        return False
    attempt = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "true"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


needs_nested_systemd = skipUnless(
    _possible(), "no systemd can be booted here: that takes root, namespaces and cgroup v2"
)


class NestedSystemd:
    """One boot. ``units`` are files for /etc/systemd/system, by name (drop-ins as ``a.service.d/b.conf``)."""

    def __init__(self, environment: dict[str, str], units: dict[str, str]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="copilot-systemd-"))
        self.directory.chmod(0o755)  # its copy is read by services
        self._environment = environment
        self._units = units
        parent = unified_cgroup()
        assert parent is not None
        self._cgroup = parent / self.directory.name
        self._program: Program | None = None
        self._process: Any = None
        self._init = 0

    async def boot(self) -> "NestedSystemd":
        """Boot it, and wait until it answers."""
        self._write()
        arguments = [str(self._cgroup), str(self.directory / "boot"), str(self.directory)]
        enter = ["/bin/sh", "-e", "-c", _ENTER, "sh", *arguments]
        self._program, self._process = run_program(enter, {}, self.directory)
        await until(self._up, "systemd answers")
        return self

    def _write(self) -> None:
        for path, text in {
            "boot": _BOOT,
            "environment": "".join(f"{name}='{value}'\n" for name, value in self._environment.items()),
            "installed/bin/python": _PYTHON,
            **{
                f"installed/bin/{name}": f"#!/bin/sh\nexec {_HOME}/bin/python -c '{code}' \"$@\"\n"
                for name, code in _SCRIPTS.items()
            },
            **{f"units/{name}": text for name, text in self._units.items()},
            "targets/test.target": "[Unit]\nDefaultDependencies=no\n",
            **{f"targets/{name}.target": "[Unit]\nDefaultDependencies=no\n" for name in _TARGETS},
        }.items():
            file = self.directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755 if text.startswith("#!") else 0o644)
        without = shutil.ignore_patterns("tests", "__pycache__")
        shutil.copytree(OPS, self.directory / "installed" / "ops", ignore=without, dirs_exist_ok=True)
        for unit in (OPS / "systemd").iterdir():
            shutil.copy(unit, self.directory / "units")

    async def _up(self) -> bool:
        program = self._program
        assert program is not None
        if not program.running:
            raise AssertionError(f"systemd did not boot:\n{self.log}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self._init = int(children[0])
        return (await self.systemctl("is-active", "test.target", check=False)).strip() == "active"

    @property
    def log(self) -> str:
        """What systemd and the commands before it wrote."""
        assert self._program is not None
        console = self.path("/run/console") if self._init else Path(os.devnull)
        return (self._program.out + self._program.err).decode(errors="replace") + console.read_text(errors="replace")

    def run(self, *command: str, check: bool = True) -> "Deferred[str]":
        """Run a command in there; its output. Raises AssertionError with *check* if it fails."""

        def wait() -> str:
            enter = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--uts", "--ipc", *command]
            done = subprocess.run(enter, capture_output=True, text=True, check=False, timeout=60)
            if check and done.returncode != 0:
                raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.log}")
            return done.stdout

        return deferToThread(wait)

    def systemctl(self, *words: str, check: bool = True) -> "Deferred[str]":
        """Run systemctl in there."""
        return self.run("systemctl", *words, check=check)

    async def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return (await self.systemctl("show", "--value", "--property", name, unit)).strip()

    async def becomes(self, unit: str, name: str, wanted: Callable[[str], bool], what: str) -> None:
        """Wait until a property of a unit has a *wanted* value; *what* says for people what that means."""

        async def has() -> bool:
            await deferLater(reactor, LOOK)
            return wanted(await self.show(unit, name))

        await until(has, what, PATIENCE)

    def path(self, inside: str) -> Path:
        """The path from out here of what is *inside* there."""
        return Path(f"/proc/{self._init}/root{inside}")

    async def end(self) -> None:
        """End every process in there, and leave nothing behind."""
        if self._program is not None and self._program.running:
            self._process.signalProcess("KILL")
            await self._program.ended
        await until(self._cgroup_removed, "all processes of the nested systemd are gone")
        shutil.rmtree(self.directory)

    def _cgroup_removed(self) -> bool:
        try:
            for directory, _, _ in os.walk(self._cgroup, topdown=False):
                Path(directory).rmdir()
        except OSError:
            return False
        return True
