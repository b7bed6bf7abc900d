"""Certificates made for a test, and a PostgreSQL that speaks TLS: the embedded binaries do not."""

import contextlib
import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from psycopg2.extensions import parse_dsn

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
"""The first message of a client that wants TLS (PostgreSQL manual, "Message Formats")."""


class Authority:
    """A certificate authority. ``file`` is its certificate; :meth:`issue` makes others, in *directory*."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._about(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / f"{name}.crt"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, hosts: Sequence[str] = ()) -> tuple[Path, Path]:
        """The files of a certificate for *name* (as a server: for *hosts*) and of its key, which has mode 600."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        kinds = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = self._about(subject, key.public_key()).add_extension(x509.ExtendedKeyUsage(kinds), critical=False)
        if hosts:
            made = made.add_extension(x509.SubjectAlternativeName(list(map(_general_name, hosts))), critical=False)
        files = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        files[0].write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        files[1].touch(0o600)
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _about(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class SecureServer:
    """Accepts PostgreSQL's connections on 127.0.0.1, with TLS, and passes them on to the server of *url*.

    Without a *certificate* it is a server that has TLS turned off. With *clients*, an authority, it demands a
    certificate of it. ``plain`` counts connections that went on without TLS.
    """

    def __init__(self, url: str, certificate: tuple[Path, Path] | None, clients: Authority | None = None) -> None:
        parts = parse_dsn(url)
        self._inner = str(parts["host"]), int(parts.get("port") or 5432)
        self._context = None if certificate is None else ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self._context is not None and certificate is not None:
            self._context.load_cert_chain(*certificate)
            if clients is not None:
                self._context.verify_mode = ssl.CERT_REQUIRED
                self._context.load_verify_locations(clients.file)
        self.plain = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Close all connections, and wait for the threads."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._serve, client)

    def _start(self, work: object, *sockets: socket.socket) -> None:
        self._open += sockets
        thread = threading.Thread(target=work, args=sockets)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            first = client.recv(8, socket.MSG_WAITALL)
            if first == _SSL_REQUEST:
                client.sendall(b"N" if self._context is None else b"S")
                if self._context is not None:
                    client = self._context.wrap_socket(client, server_side=True)
                    self._open.append(client)
                first = client.recv(8)
            if not first:
                return
            if not isinstance(client, ssl.SSLSocket):
                self.plain += 1
            with self._connect() as server:
                server.sendall(first)
                self._start(_pump, server, client)
                _pump(client, server)

    def _connect(self) -> socket.socket:
        host, port = self._inner
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until *source* ends or fails; then *target* ends, too."""
    with contextlib.suppress(OSError, ValueError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError, ValueError):
        target.shutdown(socket.SHUT_RDWR)
