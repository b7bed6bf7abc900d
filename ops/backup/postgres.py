"""What `backup` and `restore` share: which database it is, and how PostgreSQL's programs are run on it."""

import fcntl
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from copilot_socket.config import ConfigFaults, from_environment, masked_url
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres
from copilot_socket.store.embedded.binaries import packaged_programs
from copilot_socket.store.migrate import SchemaError

CONNECT_TIMEOUT = 10
"""Seconds."""
OLDEST_FOR_PACKAGED = 17
"""The oldest PostgreSQL that takes what the packaged pg_restore sends (it sets transaction_timeout)."""


class Failed(Exception):
    """It did not work; the message is for the person who reads the log."""


@attrs.frozen
class Server:
    """A database: its URL, how to call it, and the directory of the programs that fit it."""

    url: str = attrs.field(repr=False)
    name: str
    programs: Path

    def run(self, program: str, *arguments: str) -> None:
        """Run pg_dump or pg_restore on it. Raises Failed."""
        parts = parse_dsn(self.url)
        # Anyone may see a command line, only its owner the environment of a process.
        password = parts.pop("password", "")
        environ = os.environ | ({"PGPASSWORD": password} if password else {})
        self._call(program, f"--dbname={make_dsn(**parts)}", *arguments, env=environ)

    def read(self, dump: Path) -> None:
        """Look whether *dump* is one, as far as its table of contents tells. Raises Failed."""
        self._call("pg_restore", "--list", str(dump), stdout=subprocess.DEVNULL)

    def _call(self, program: str, *arguments: str, **options: Any) -> None:
        try:
            status = subprocess.run([self.programs / program, *arguments], check=False, **options).returncode
        except OSError as error:
            raise Failed(f"{self.programs / program} can't be run: {error.strerror}") from error
        if status != 0:
            raise Failed(f"{program} ended with status {status}")


@contextmanager
def chosen_server(args: Namespace, *, make: bool) -> Iterator[Server]:
    """The database that *args* name, or else the one of a node here; *make* the embedded one if there is none yet.

    Raises ConfigFaults, EmbeddedError, Failed or psycopg2.Error.
    """
    programs: Path | None = args.programs
    config = from_environment({"DATABASE_URL": args.database_url} if args.database_url else {})
    if config.database_url is not None:
        url, name = config.database_url, masked_url(config.database_url)
        yield Server(url, name, programs or _fitting_programs(_major(url)))
        return
    embedded = EmbeddedPostgres(config.state_dir)
    if not make and not embedded.exists():
        raise Failed(f"there is no embedded database in {config.state_dir} (and DATABASE_URL is not set)")
    try:
        url, name = embedded.start(), f"the embedded database in {config.state_dir}"
        yield Server(url, name, programs or packaged_programs().bin)
    finally:
        embedded.stop()  # it keeps running if a node uses it


def _major(url: str) -> int:
    with closing(psycopg2.connect(url, connect_timeout=CONNECT_TIMEOUT)) as connection:
        return int(connection.server_version // 10000)


def _fitting_programs(major: int) -> Path:
    """Programs for a server of PostgreSQL *major*: its own if they are where distributions put them.

    Those packaged with the embedded server read older servers too, but what they write, no server before 17 takes:
    better no dump than one that can't be restored. Raises Failed.
    """
    for directory in (Path(f"/usr/lib/postgresql/{major}/bin"), Path(f"/usr/pgsql-{major}/bin")):
        if (directory / "pg_restore").exists():
            return directory
    packaged = packaged_programs()
    if OLDEST_FOR_PACKAGED <= major <= int(packaged.major):
        return packaged.bin
    raise Failed(
        f"the server is PostgreSQL {major} and its pg_dump and pg_restore are not installed: install the client "
        f"programs of that version (postgresql-client-{major}), or name their directory with --programs"
    )


def add_options(parser: ArgumentParser) -> None:
    """What both scripts may be told."""
    parser.add_argument("--database-url", metavar="URL", help="the database, instead of DATABASE_URL's")
    parser.add_argument("--programs", type=Path, help="directory of the pg_dump and pg_restore to use")


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
