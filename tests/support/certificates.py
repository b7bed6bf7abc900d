"""Certificates for tests: CAs, and what they issue."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Fields = Sequence[tuple[x509.ObjectIdentifier, str]]
DAY = timedelta(days=1)


class Issued:
    """A certificate and its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.key = key

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key alone."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def fingerprint(self) -> str:
        """As ``openssl x509 -fingerprint -sha256`` prints it."""
        return "sha256 Fingerprint=" + self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def write(self, directory: Path, name: str) -> Path:
        """Write key and certificate to one file; return its path."""
        path = directory / f"{name}.pem"
        path.write_bytes(self.key_pem + self.pem)
        return path


class Authority(Issued):
    """A CA, self-signed or of another one."""

    def __init__(self, name: str = "CA", parent: "Authority | None" = None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = (subject, key) if parent is None else (parent.certificate.subject, parent.key)
        super().__init__(_sign(subject, key, by, [(x509.BasicConstraints(True, None), True)]), key)

    def issue(
        self,
        fields: str | Fields | x509.Name = "crawler",
        *,
        start: timedelta = -DAY,
        end: timedelta = 30 * DAY,
        server: bool = False,
    ) -> Issued:
        """A certificate, valid from *start* to *end* from now; *fields*: its subject, or the common name."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.ExtendedKeyUsage([usage]), False)]
        if server:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            extensions.append((names, False))
        by = self.certificate.subject, self.key
        return Issued(_sign(name_of(fields), key, by, extensions, start, end), key)


def name_of(fields: str | Fields | x509.Name) -> x509.Name:
    """A subject."""
    if isinstance(fields, x509.Name):
        return fields
    if isinstance(fields, str):
        fields = [(NameOID.COMMON_NAME, fields)]
    return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in fields])


def _sign(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: tuple[x509.Name, ec.EllipticCurvePrivateKey],
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    start: timedelta = -DAY,
    end: timedelta = 30 * DAY,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        by[0], subject, key.public_key(), x509.random_serial_number(), now + start, now + end
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by[1], hashes.SHA256())
