"""The certificates of a TLS endpoint, read from files, and which client certificates it accepts."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL, crypto

from copilot_socket.core.endpoints import CertificateFiles
from copilot_socket.core.identity import MAX_SUBJECT, valid_subject

T = TypeVar("T")

SOON = timedelta(days=14)
"""Before the end of a certificate; whoever renews one does so earlier."""
MAX_FILE = 1024 * 1024
"""Bytes of a file; a larger one can't be what it should be."""
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption. TLS 1.3 has no others."""
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
_PINNED = frozenset({2, 18, 19, 20, 21})
"""Errors of verify(1) which mean that no known CA has issued a certificate."""
_MEANING = {
    7: "is not signed by the CA that it names",
    9: "is not valid yet",
    10: "has expired",
    26: "is not meant for clients",
} | dict.fromkeys(_PINNED, "is issued by no CA that is accepted")


class CertificateFault(Exception):
    """A file can't be used; the text names it."""


@attrs.frozen
class Credentials:
    """What a TLS endpoint uses for new connections. *fingerprints* None: any certificate of its CA is accepted."""

    context: SSL.Context
    certificate: x509.Certificate
    store: crypto.X509Store | None
    fingerprints: frozenset[str] | None

    @property
    def description(self) -> str:
        """The certificate of the server, for people."""
        until = self.certificate.not_valid_after_utc
        return f"{self.certificate.subject.rfc4514_string()}, valid until {until:%Y-%m-%d %H:%M} UTC"

    @property
    def concern(self) -> str | None:
        """Why clients refuse the certificate of the server now, or soon will; None if they don't."""
        now, until = datetime.now(UTC), self.certificate.not_valid_after_utc
        if now < self.certificate.not_valid_before_utc:
            return "is not valid yet: crawlers refuse it"
        if now > until:
            return "has expired: crawlers refuse it"
        return "expires soon" if now > until - SOON else None

    def objection(self, certificate: x509.Certificate) -> str | None:
        """Why the client's *certificate* is not accepted, apart from who has issued it and when; None if it is."""
        if subject_of(certificate) is None:
            return f"has no subject of 1 to {MAX_SUBJECT} printable characters"
        if self.fingerprints is not None and certificate.fingerprint(hashes.SHA256()).hex() not in self.fingerprints:
            return "is not in the list of fingerprints"
        return None

    def accepts(self, certificate: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
        """Whether a connection may stay open that was accepted with *certificate* and *chain*."""
        if self.objection(certificate) is not None:
            return False
        if self.store is None:
            return self.fingerprints is not None
        given = [crypto.X509.from_cryptography(each) for each in chain]
        try:
            crypto.X509StoreContext(
                self.store, crypto.X509.from_cryptography(certificate), given
            ).verify_certificate()
        except crypto.X509StoreContextError:
            return False
        return True

    def verify(self, connection: SSL.Connection, given: crypto.X509, error: int, depth: int, _ok: int) -> bool:
        """Decide on a certificate during the handshake (SSL_CTX_set_verify(3)); its transport learns why not."""
        why: str | None = None
        if error and not (self.store is None and error in _PINNED):
            why = _MEANING.get(error, f"has error {error} of verify(1)")
        elif depth == 0:
            why = self.objection(given.to_cryptography())
        if why is not None:
            whose = "its certificate" if depth == 0 else "a CA of its certificate"
            connection.get_app_data().refusal = f"{whose} {why}"
        return why is None


def subject_of(certificate: x509.Certificate) -> str | None:
    """The subject as text; None for one that can't be an owner."""
    try:
        subject = certificate.subject.rfc4514_string()
    except ValueError:
        return None
    return subject if valid_subject(subject) else None


def read(files: CertificateFiles) -> Credentials:
    """Read *files*, and check that they belong together. Raises :class:`CertificateFault`."""
    chain = _parsed(files.certificate, x509.load_pem_x509_certificates, "certificates")
    if files.chain is not None:
        chain = [*chain, *_parsed(files.chain, x509.load_pem_x509_certificates, "certificates")]
    key = _parsed(files.key, lambda data: load_pem_private_key(data, None), "a private key without a passphrase")
    if _public(key.public_key()) != _public(chain[0].public_key()):
        raise CertificateFault(f"{files.key} is not the key of the first certificate in {files.certificate}")
    fingerprints = None if files.fingerprints is None else _fingerprints(files.fingerprints)
    authorities = None if files.client_ca is None else _authorities(files.client_ca)
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(_OPTIONS)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a resumed session would not be verified again
        context.set_session_id(b"copilot-socket")
        context.use_certificate(chain[0])
        for each in chain[1:]:
            context.add_extra_chain_cert(each)
        context.use_privatekey(key)  # type: ignore[arg-type]
        context.check_privatekey()
        store = None if authorities is None else _trust(context, authorities)
        credentials = Credentials(context, chain[0], store, fingerprints)
        if store is not None or fingerprints is not None:
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, credentials.verify)
        context.set_cipher_list(_CIPHERS)
    except (SSL.Error, crypto.Error, TypeError, ValueError) as error:
        raise CertificateFault(f"{files.certificate} can't be used for TLS: {reason_of(error)}") from error
    return credentials


def _trust(context: SSL.Context, authorities: Sequence[x509.Certificate]) -> crypto.X509Store:
    store = context.get_cert_store()
    assert store is not None
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # an intermediate CA in the file is trusted as it is
    for each in authorities:
        store.add_cert(crypto.X509.from_cryptography(each))
        context.add_client_ca(each)  # the client chooses a certificate by it
    return store


def _authorities(path: Path) -> list[x509.Certificate]:
    found = _parsed(path, x509.load_pem_x509_certificates, "certificates of CAs")
    for each in found:
        try:
            is_ca = each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, ValueError):
            is_ca = False
        if not is_ca:
            raise CertificateFault(f"{path} contains {each.subject.rfc4514_string()!r}, which is no CA")
    return found


def _fingerprints(path: Path) -> frozenset[str]:
    """SHA-256 fingerprints, one a line; colons, case, what follows #, and openssl's name don't matter."""
    found = set()
    for number, line in enumerate(_read(path).decode("utf-8", "replace").splitlines(), 1):
        text = re.sub("^sha256 fingerprint=", "", line.partition("#")[0].strip().lower()).replace(":", "")
        if text and not re.fullmatch("[0-9a-f]{64}", text):
            raise CertificateFault(
                f"{path}, line {number}, is no SHA-256 fingerprint (openssl x509 -fingerprint -sha256)"
            )
        found |= {text} - {""}
    return frozenset(found)


def _parsed(path: Path, parse: Callable[[bytes], T], what: str) -> T:
    data = _read(path)
    try:
        return parse(data)
    except Exception as error:  # cryptography's are many, TypeError and its own UnsupportedAlgorithm among them
        raise CertificateFault(f"{path} does not contain {what} in PEM") from error


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # reading a FIFO would block the node
            raise CertificateFault(f"{path} is no file" if path.exists() else f"there is no file {path}")
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise CertificateFault(f"{path} can't be read: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise CertificateFault(f"{path} has more than {MAX_FILE} bytes")
    return data


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def reason_of(error: BaseException | None) -> str:
    """The last reason in OpenSSL's list of errors; any other error's text."""
    last = (
        error.args[0][-1]
        if error is not None and error.args and isinstance(error.args[0], list) and error.args[0]
        else error
    )
    return str(last[-1]) if isinstance(last, tuple) else str(last)
