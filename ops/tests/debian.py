"""A Debian 12 of its own for tests: made by debootstrap, booted by its own systemd, in namespaces that end with it.

It has a network of its own, which is a loopback interface alone, so that its services may listen as they are. Only
commands that have to fetch something are let out. Needs root.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from ops.tests.engine import Unavailable, mirror
from ops.tests.nested_systemd import unified_cgroup

RELEASE = "bookworm"
PATIENCE = 60.0
"""Seconds for it to boot."""
_ENTER = """
mkdir "$1" && echo $$ >"$1/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --net /bin/sh -e -c "$2" sh "$3"
"""
_BOOT = """
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind /sys sys
for shared in proc/sys sys; do mount -o remount,bind,ro $shared; done
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
ln -s /proc/self/fd dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s fd/${number%:*} dev/${number#*:}; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
touch dev/console
mount -t tmpfs -o mode=755 tmpfs run
mkdir .before
pivot_root . .before
umount -l /.before
rmdir /.before
cd /
mount --make-rshared /  # as on a machine: the mount of a service's credentials has to reach it
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""
_LOGIN = ("HOME=/root", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


class Debian:
    """One machine, below *directory*."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self._cgroup: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def make(self) -> None:
        """Unpack it. Raises :class:`~ops.tests.engine.Unavailable` where that can't be done."""
        command = ["debootstrap", "--variant=minbase", "--include=systemd-sysv,ca-certificates"]
        made = subprocess.run(
            [*command, RELEASE, str(self.root), mirror()], capture_output=True, text=True, check=False, timeout=600
        )
        if made.returncode:
            raise Unavailable(f"debootstrap makes no Debian here: {made.stdout[-500:]}")
        # No wait for the disk, no service is asked for; and this machine's authorities count.
        (self.root / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.root / "etc/ssl/certs")
        for configuration in (Path("/etc/pip.conf"), Path("/etc/resolv.conf")):
            if configuration.exists():
                shutil.copy(configuration, self.root / "etc")

    def boot(self) -> None:
        """Boot it, and wait until it is up."""
        mounted = unified_cgroup()
        assert mounted is not None
        self._cgroup = Path(tempfile.mktemp(prefix="copilot-debian-", dir=mounted))
        enter = ["/bin/sh", "-e", "-c", _ENTER, "sh", str(self._cgroup), _BOOT, str(self.root)]
        with (self.root.parent / "console").open("wb") as console:
            self._process = subprocess.Popen(enter, stdout=console, stderr=console, stdin=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"it does not boot: {(self.root.parent / 'console').read_text()[-2000:]}")
            time.sleep(0.2)

    def _is_up(self) -> bool:
        assert self._process is not None
        outer = self._process.pid
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        if not children or not Path(f"/proc/{children[0]}/root/run/systemd/system").exists():
            return False
        self._init = int(children[0])
        return self.run("systemctl is-active multi-user.target", check=False).strip() == "active"

    def run(self, script: str, *, outside: bool = False, given: str = "", check: bool = True) -> str:
        """What root's *script* prints, in there; *outside* gives it this machine's network, *given* is its input.

        Raises ``AssertionError`` with *check* if it fails.
        """
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--root", *([] if outside else ["--net"])]
        environment = ["PIP_CERT=/etc/ssl/certs/ca-certificates.crt", *_LOGIN]
        command = ["nsenter", f"--target={self._init}", *spaces, "env", "-i", "-C", "/root", *environment]
        done = subprocess.run(
            [
                *command,
                "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt",
                "bash",
                "-euo",
                "pipefail",
                "-c",
                script,
            ],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        if check and done.returncode:
            raise AssertionError(f"status {done.returncode} of\n{script}\n{done.stdout[-4000:]}")
        return done.stdout

    def end(self) -> None:
        """End all that runs in there; nothing of it is left but files."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        end = time.monotonic() + PATIENCE
        while self._cgroup is not None and self._cgroup.exists():
            try:
                for directory, _, _ in os.walk(self._cgroup, topdown=False):
                    Path(directory).rmdir()
            except OSError:  # somebody is still in there
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
