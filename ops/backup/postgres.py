"""What `backup` and `restore` share: which database it is, and how PostgreSQL's programs are run on it."""

import fcntl
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from copilot_socket.config import ConfigFaults, from_environment, masked_url
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres
from copilot_socket.store.embedded.binaries import packaged_programs
from copilot_socket.store.migrate import SchemaError


class Failed(Exception):
    """It did not work; the message is for the person who reads the log."""


@attrs.frozen
class Server:
    """A database by its URL, and how to call it."""

    url: str = attrs.field(repr=False)
    name: str

    def run(self, program: str, *arguments: str) -> None:
        """Run pg_dump or pg_restore on it. Raises ``subprocess.SubprocessError``."""
        parts = parse_dsn(self.url)
        # Anyone may see a command line, only its owner the environment of a process.
        password = parts.pop("password", "")
        environ = os.environ | ({"PGPASSWORD": password} if password else {})
        subprocess.run([program, f"--dbname={make_dsn(**parts)}", *arguments], check=True, env=environ)


@contextmanager
def configured_server(*, make: bool) -> Iterator[Server]:
    """The database that a node with this environment would use; *make* the embedded one if there is none yet.

    Raises ConfigFaults, EmbeddedError or Failed.
    """
    config = from_environment()
    if config.database_url is not None:
        yield Server(config.database_url, masked_url(config.database_url))
        return
    embedded = EmbeddedPostgres(config.state_dir)
    if not make and not embedded.exists():
        raise Failed(f"there is no embedded database in {config.state_dir} (and DATABASE_URL is not set)")
    try:
        yield Server(embedded.start(), f"the embedded database in {config.state_dir}")
    finally:
        embedded.stop()  # it keeps running if a node uses it


def program(name: str, directory: Path | None) -> str:
    """The path of one of PostgreSQL's programs: in *directory*, or packaged with the embedded server."""
    return packaged_programs()[name] if directory is None else str(directory / name)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep a second run out of *directory* meanwhile. Raises Failed if there is one."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Failed(f"another backup into {directory} is under way") from error
    finally:
        os.close(descriptor)


def main(work: Callable[[Namespace], None], parser: ArgumentParser) -> int:
    """Do *work*; the exit status, 0 only if it worked."""
    try:
        work(parser.parse_args())
    except (Failed, ConfigFaults, EmbeddedError, SchemaError, OSError, psycopg2.Error) as error:
        print(f"{parser.prog}: {str(error).strip()}", file=sys.stderr)
        return 1
    return 0
