"""A real Docker engine for tests, which ends with them, and a stand-in for the image that the Dockerfile builds on.

No registry is asked: the stand-in is this Debian, made by debootstrap, with the Python that it has. Needs root.
"""

import re
import shutil
import subprocess
import time
from pathlib import Path

PATIENCE = 60.0
"""Seconds for the engine to answer."""
_SOURCE = re.compile(r"^(?:deb(?:\s+\[[^]]*\])?|URIs:)\s+(https?://\S+)", re.MULTILINE)


class Unavailable(Exception):
    """There can be no engine, or no stand-in, on this machine."""


class Engine:
    """dockerd with everything of its own below *directory*: no network is made, no firewall touched."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._address = f"unix://{directory}/docker.sock"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Raises :class:`Unavailable` where it does not run."""
        options = [f"--{name}-root={self._directory / name}" for name in ("data", "exec")]
        options += [f"--host={self._address}", f"--pidfile={self._directory}/pid"]
        options += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(["dockerd", *options], stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while subprocess.run(
            ["docker", "--host", self._address, "info"], capture_output=True, check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise Unavailable(f"Docker's engine does not run here: {self._log.read_text('utf-8')[-500:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End it, and its containers with it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        # It leaves this behind for each container in the machine's own network.
        namespace = self._directory / "exec/netns/default"
        if namespace.exists():
            subprocess.run(["umount", str(namespace)], check=True)

    def docker(self, *arguments: str, seconds: float = 60.0) -> str:
        """What the docker command *arguments* prints. Raises ``AssertionError`` with its complaint."""
        command = ["docker", "--host", self._address, *arguments]
        # The classic builder: the other one asks a registry for its front end.
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds, env={"DOCKER_BUILDKIT": "0"}
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()

    def make_base(self, tag: str) -> None:
        """Make an image *tag* with Python and pip of this machine's Debian. Raises :class:`Unavailable`."""
        root = self._directory / "root"
        packages = "python3,python3-pip,python3-venv,ca-certificates"
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", _codename(), str(root), mirror()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise Unavailable(f"debootstrap makes no Debian here: {done.stdout[-500:]}")
        # As in Python's own images: it is called python, pip installs for all, and this machine's authorities count.
        (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/")
        archive = self._directory / "root.tar"
        subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True, timeout=120)
        self.docker("import", str(archive), tag, seconds=120)


def _codename() -> str:
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise Unavailable("/etc/os-release names no release of Debian")
    return found[1]


def mirror() -> str:
    """Where this machine gets its packages from."""
    folder = Path("/etc/apt")
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        found = _SOURCE.search(path.read_text("utf-8")) if path.is_file() else None
        if found is not None:
            return found[1]
    raise Unavailable("apt's sources name no mirror")
