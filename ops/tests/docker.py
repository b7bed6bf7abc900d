"""What stands in for Docker's engine: the Dockerfile read, and a mount and PID namespace with a read-only root."""

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import copilot_socket
from ops.tests.support import OPS
from tests.support.server import run_program

FILES = OPS / "docker"
UID = 10001

SANDBOX = """
set -e
mount --make-rprivate /
mount --bind {passwd} /etc/passwd
for writable in {writable}; do mount --bind "$writable" "$writable"; done
{reachable}
mount -o remount,bind,ro /
cd {directory}
exec setpriv --reuid={uid} --regid={uid} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
"""As the image runs: a user of its own without any capability; nothing writable but its volumes, not even /tmp."""


class Dockerfile:
    """The instructions of a Dockerfile, by stage."""

    def __init__(self, path: Path) -> None:
        text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
        lines = re.sub(r"\\\n\s*", "", text).splitlines()
        instructions = [line.split(maxsplit=1) for line in lines if line.strip()]
        starts = [at for at, (name, _) in enumerate(instructions) if name == "FROM"]
        ends = [*starts[1:], len(instructions)]
        self.stages = [instructions[start:end] for start, end in zip(starts, ends, strict=True)]

    def all(self, instruction: str, stage: int = -1) -> list[str]:
        """The arguments of each *instruction* of a stage, the last one if none is named."""
        return [arguments for name, arguments in self.stages[stage] if name == instruction]

    def command(self, instruction: str) -> list[str]:
        """The exec form that the last stage's *instruction* ends with."""
        [arguments] = self.all(instruction)
        found: list[str] = json.loads(arguments[arguments.index("[") :])
        return found

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(item.split("=", 1) for line in self.all("ENV") for item in shlex.split(line))


def copy_sources(dockerfile: Dockerfile, checkout: Path, to: Path) -> None:
    """What the first stage's COPYs bring from *checkout*, as far as .dockerignore lets it through."""
    allowed = {
        line[1:] for line in (FILES / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    for line in dockerfile.all("COPY", 0):
        *sources, target = line.split()
        for source in sources:
            assert source in allowed, f".dockerignore keeps {source} out"
            if (checkout / source).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "dropin.cache", "node_modules", "vendor")
                shutil.copytree(checkout / source, to / target, symlinks=True, ignore=ignore)
            else:
                shutil.copy(checkout / source, to / target)


def reachable(paths: list[Path], keep: Path) -> str:
    """Commands that let everyone reach *paths*, read-only, inside the namespace, where the way there is private.

    No mode is changed: an empty file system covers the private parent, and only the path itself is put back into it.
    """
    stash, covers, put_back = [], set(), []
    for number, path in enumerate(sorted({path.resolve() for path in paths})):
        private = [parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001]
        if private:
            place, kept = shlex.quote(str(path)), keep / str(number)
            kept.mkdir(parents=True)
            stash.append(f"mount --bind {place} {kept}")
            covers.add(shlex.quote(str(private[0])))
            put_back += [f"mkdir -p {place}", f"mount --move {kept} {place}", f"mount -o remount,bind,ro {place}"]
    return "\n".join([*stash, *(f"mount -t tmpfs -o mode=755 tmpfs {cover}" for cover in covers), *put_back])


class Sandbox:
    """One command, run as the image runs it. *volumes* are the directories that it may write to."""

    def __init__(self, command: list[str], environ: dict[str, str], directory: Path, volumes: list[Path]) -> None:
        for volume in volumes:
            os.chown(volume, UID, UID)
        script = directory / "sandbox.sh"
        writable = " ".join(shlex.quote(str(volume)) for volume in volumes)
        passwd = directory / "passwd"
        entry = f"copilot-study:x:{UID}:{UID}::{volumes[0]}:/usr/sbin/nologin\n"
        passwd.write_text(Path("/etc/passwd").read_text() + entry)
        needed = [Path(sys.prefix), Path(sys.base_prefix), OPS.parent, Path(copilot_socket.__file__).parent]
        script.write_text(
            SANDBOX.format(
                passwd=passwd,
                writable=writable,
                reachable=reachable(needed, directory / "keep"),
                directory=volumes[0],
                uid=UID,
            )
        )
        unshare = shutil.which("unshare") or "unshare"
        isolated = [unshare, "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", str(script)]
        self.program, self._process = run_program([*isolated, *command], environ, directory)

    @property
    def pid(self) -> int | None:
        """Of the command, which is process 1 to itself; None before it runs or when it is over."""
        outer = self._process.pid
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def signal(self, number: int) -> None:
        """Send it a signal, as an engine does."""
        pid = self.pid
        assert pid is not None, self.output
        os.kill(pid, number)

    @property
    def output(self) -> str:
        """All that it wrote."""
        return (self.program.out + self.program.err).decode(errors="replace")

    async def clean_up(self) -> None:
        """Kill it, if it still runs; all its processes go with it."""
        if self.program.running:
            self._process.signalProcess("KILL")
            await self.program.ended
