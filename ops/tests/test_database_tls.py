"""The tests of TLS to the database again, with the PostgreSQL of the distribution: the embedded one has no TLS."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest

from copilot_socket.store import migrate
from tests.e2e import test_database_tls
from tests.support.postgres import reachable_directory
from tests.support.server import free_port
from tests.support.tls import Authority

_PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
_USER = "postgres" if os.geteuid() == 0 else None


class Server:
    """A PostgreSQL that takes connections over TCP only with TLS, or, without a *certificate*, only without."""

    plain = 0

    def __init__(self, certificate: tuple[Path, Path] | None, clients: Authority | None) -> None:
        self.directory = reachable_directory()
        self.port = free_port()
        self._data = self.directory / "data"
        self.directory.chmod(0o777)
        self.run("initdb", "--username=copilot", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D", self._data)
        kind = "host" if certificate is None else "hostssl"
        verified = "" if clients is None else " clientcert=verify-ca"
        (self._data / "pg_hba.conf").write_text(f"local all all trust\n{kind} all all 127.0.0.1/32 trust{verified}\n")
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.directory}
        if certificate is not None:
            settings |= {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
            files = {"server.crt": certificate[0], "server.key": certificate[1]}
            if clients is not None:
                settings["ssl_ca_file"] = "clients.crt"
                files["clients.crt"] = clients.file
            for name, source in files.items():
                shutil.copy(source, self._data / name)
                (self._data / name).chmod(0o600)
                if _USER is not None:
                    shutil.chown(self._data / name, _USER)
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self.run("pg_ctl", "start", "-w", "-D", self._data, "-l", self.directory / "log", "-o", options)
        self.url = f"postgresql://copilot@/postgres?host={self.directory}&port={self.port}"

    def run(self, program: str, *arguments: Any) -> None:
        """Run one of PostgreSQL's programs, as a user that may."""
        assert _PROGRAMS is not None
        command = [_PROGRAMS / program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", user=_USER, timeout=120)

    def close(self) -> None:
        """Stop it, and remove its files."""
        self.run("pg_ctl", "stop", "-m", "immediate", "-w", "-D", self._data)
        shutil.rmtree(self.directory)


class RealDatabaseTlsTests(test_database_tls.DatabaseTlsTests):
    """Each of its tests."""

    def setUp(self) -> None:
        if _PROGRAMS is None:
            raise SkipTest("no PostgreSQL is installed (Debian: postgresql)")
        super().setUp()

    def server(self, certificate: tuple[Path, Path] | None, clients: Authority | None = None) -> Any:
        """A PostgreSQL of its own, with our tables, which is the test's database from now on."""
        server = Server(certificate, clients)
        self.addCleanup(server.close)
        migrate.require_current(server.url, upgrade=True)
        self.database_url = server.url
        self.add_account()
        return server

    async def test_plain_text_asked_for(self) -> None:
        """A server that takes TLS only has no entry for plain text: that is no fault of TLS."""
        server = self.server(self.certificate)
        await self.explained(
            self.url(server, sslmode="disable"),
            "no pg_hba.conf entry",
            "no encryption",
            cause=test_database_tls.Unready.LOGIN,
        )
