"""Files of certificates: what is wrong with them, and when they are read again."""

import os
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.endpoints import CertificateFiles
from copilot_socket.core.identity import MAX_SUBJECT
from copilot_socket.wire import certificates
from copilot_socket.wire.certificates import MAX_FILE, SOON, CertificateFault, Credentials, read, subject_of
from copilot_socket.wire.tls import Renewing, TLSFactory
from tests.support.certificates import DAY, Authority, Issued

CN, OU = NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


class FilesTestCase(SynchronousTestCase):
    """With the files of an endpoint."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authority = Authority()
        self.server = self.authority.issue("server", server=True)
        self.certificate = self.put("certificate", self.server.pem)
        self.key = self.put("key", self.server.key_pem)
        self.ca = self.put("ca", self.authority.pem)

    def put(self, name: str, data: bytes | str) -> Path:
        """Write a file as a renewal does: another one takes its place."""
        path, new = self.directory / name, self.directory / "new"
        new.write_bytes(data.encode() if isinstance(data, str) else data)
        new.replace(path)
        return path

    def files(self, **more: Path) -> CertificateFiles:
        """The files, with a CA of clients unless *more* says otherwise."""
        return CertificateFiles(**{"certificate": self.certificate, "key": self.key, "client_ca": self.ca, **more})

    def fault(self, **more: Path) -> str:
        """Why the files can't be used."""
        return str(self.assertRaises(CertificateFault, read, self.files(**more)))


class ReadTests(FilesTestCase):
    """read()."""

    def test_good(self) -> None:
        """The certificate is described; key and certificate may be in one file, and the chain in a third one."""
        both = self.put("both", self.server.key_pem + self.server.pem + self.authority.pem)
        for files in (self.files(), self.files(certificate=both, key=both), self.files(chain=self.ca)):
            credentials = read(files)
            self.assertRegex(credentials.description, r"^CN=server, valid until 20\d\d-\d\d-\d\d \d\d:\d\d UTC$")
            self.assertIsNone(credentials.concern)

    def test_expired(self) -> None:
        """A certificate of the server that is out of date, or soon will be, is used, and known to be."""
        for start, end, concern in (
            (-2 * DAY, -DAY, "has expired"),
            (DAY, 2 * DAY, "not valid yet"),
            (-DAY, SOON - DAY / 2, "expires soon"),
        ):
            old = self.authority.issue("old", start=start, end=end, server=True).write(self.directory, "old")
            self.assertIn(concern, str(read(self.files(certificate=old, key=old)).concern))

    def test_unreadable(self) -> None:
        """Missing, a directory, a pipe, too large, not PEM: the fault names the file."""
        os.mkfifo(self.directory / "pipe")
        self.put("large", b"x" * (MAX_FILE + 1))
        self.put("empty", b"")
        self.put("bad", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        for name in ("missing", "missing/below", ".", "pipe", "large", "empty", "bad"):
            path = self.directory / name
            for role in ("certificate", "key", "client_ca", "chain"):
                self.assertIn(str(path), self.fault(**{role: path}))
        for name in ("missing", ".", "pipe", "large", "bad"):
            self.assertIn(str(self.directory / name), self.fault(fingerprints=self.directory / name))

    def test_not_allowed(self) -> None:
        """A file that the node may not read says so."""
        self.patch(Path, "open", _denied)
        self.assertIn("Permission denied", self.fault())

    def test_another_key(self) -> None:
        """A key that does not belong to the certificate names both files."""
        self.put("key", self.authority.key_pem)
        self.assertIn(f"{self.key} is not the key of the first certificate in {self.certificate}", self.fault())

    def test_a_passphrase(self) -> None:
        """Nobody could enter it."""
        kind = PrivateFormat.PKCS8
        self.put("key", self.server.key.private_bytes(Encoding.PEM, kind, BestAvailableEncryption(b"secret")))
        self.assertIn("without a passphrase", self.fault())

    def test_no_ca(self) -> None:
        """The server's own certificate is no CA of clients."""
        self.assertIn("'CN=server', which is no CA", self.fault(client_ca=self.certificate))

    def test_fingerprints(self) -> None:
        """As openssl prints them and otherwise, with comments; anything else names the line."""
        one, two = self.authority.issue("one"), self.authority.issue("two")
        bare = two.fingerprint.partition("=")[2].replace(":", "").lower()
        path = self.put("list", f"# crawlers\n\n{one.fingerprint} # one\n  {bare}\n")
        credentials = read(self.files(fingerprints=path))
        self.assertEqual([credentials.objection(each.certificate) for each in (one, two)], [None, None])
        self.assertIn("fingerprints", str(credentials.objection(self.server.certificate)))
        self.put("list", f"{bare}\n{bare[:40]}\n")
        self.assertIn("line 2", self.fault(fingerprints=path))
        self.put("list", "")
        self.assertIsNotNone(read(self.files(fingerprints=path)).objection(one.certificate))


class SubjectTests(FilesTestCase):
    """Whose a certificate is."""

    def subject(self, *fields: tuple[x509.ObjectIdentifier, str]) -> str | None:
        """The owner of a certificate with this subject."""
        return subject_of(self.authority.issue(fields).certificate)

    def test_tricks(self) -> None:
        """A value can't look like another attribute, end early or deceive the eye; an empty subject is nobody's."""
        self.assertEqual(self.subject((CN, "a"), (OU, "b")), "OU=b,CN=a")
        self.assertEqual(self.subject((CN, "a,OU=b")), r"CN=a\,OU=b")
        self.assertEqual(self.subject((CN, "a\0b")), r"CN=a\00b")
        for none in ((), ((CN, "a\nb"),), ((CN, "a\u202eb"),), ((CN, "a\x1b[2J"),)):
            self.assertIsNone(self.subject(*none), none)

    def test_several_values(self) -> None:
        """Attributes of one element and of several are not the same."""
        one, two = x509.NameAttribute(CN, "a"), x509.NameAttribute(OU, "b")
        together = x509.Name([x509.RelativeDistinguishedName([one, two])])
        self.assertIn("+", str(subject_of(self.authority.issue(together).certificate)))

    def test_long(self) -> None:
        """The longest one is taken; a longer one is not cut, but nobody's."""
        fields = [(OU, "x" * 60)] * (MAX_SUBJECT // 64 + 1)
        left = MAX_SUBJECT - len(",".join(["OU=" + "x" * 60] * 7)) - len(",CN=")
        self.assertEqual(len(str(self.subject(*fields[:7], (CN, "y" * left)))), MAX_SUBJECT)
        self.assertIsNone(self.subject(*fields[:7], (CN, "y" * (left + 1))))


class RenewalTests(FilesTestCase):
    """Renewing.look()."""

    def setUp(self) -> None:
        super().setUp()
        self.renewing = Renewing(self.files())

    def look(self) -> Credentials | None:
        """What comes of two looks."""
        self.assertIsNone(self.renewing.look())
        return self.renewing.look()

    def test_renewed(self) -> None:
        """Files that were replaced are taken over at the second look, once."""
        self.assertIsNone(self.look())
        renewed = self.authority.issue("renewed", server=True)
        self.put("certificate", renewed.pem)
        self.assertIsNone(self.renewing.look())  # the key may follow
        self.put("key", renewed.key_pem)
        credentials = self.look()
        self.assertEqual(credentials, self.renewing.current)
        self.assertIn("CN=renewed", self.renewing.current.description)
        self.assertIsNone(self.look())

    def test_faulty(self) -> None:
        """The old ones stay in force, and the files are read until there is no fault."""
        before = self.renewing.current
        self.key.unlink()
        self.renewing.look()
        for _ in range(2):
            self.assertIn(str(self.key), str(self.assertRaises(CertificateFault, self.renewing.look)))
        self.assertIs(self.renewing.current, before)
        self.put("key", self.server.key_pem)
        self.assertIsNotNone(self.look())

    def test_in_place(self) -> None:
        """A file may also be written to."""
        self.ca.write_bytes(self.authority.pem + Authority("second").pem)
        self.assertIsNotNone(self.look())


class AcceptsTests(FilesTestCase):
    """Open connections, when files were replaced."""

    def accepts(self, given: Issued, *chain: Issued, **more: Path) -> bool:
        """Whether the client's certificate is still accepted."""
        return read(self.files(**more)).accepts(given.certificate, [each.certificate for each in (given, *chain)])

    def test_authorities(self) -> None:
        """Issued by a CA of the file, itself or through one that the client has sent."""
        client, between = self.authority.issue(), Authority("between", self.authority)
        below = between.issue("below")
        self.assertTrue(self.accepts(client))
        self.assertTrue(self.accepts(below, between))
        self.assertTrue(self.accepts(below, client_ca=self.put("between", between.pem)))
        self.assertFalse(self.accepts(below))
        self.assertFalse(self.accepts(client, client_ca=self.put("other", Authority().pem)))
        self.assertFalse(self.accepts(self.authority.issue(end=-DAY / 2)))

    def test_fingerprints(self) -> None:
        """With a list, only what is in it; without a CA, whoever has issued it."""
        client = Authority("unknown").issue()
        path = self.put("list", client.fingerprint)
        self.assertFalse(self.accepts(client, fingerprints=path))
        files = CertificateFiles(self.certificate, self.key, fingerprints=path)
        self.assertTrue(read(files).accepts(client.certificate, []))
        self.assertFalse(read(files).accepts(self.authority.issue().certificate, []))


class LogTests(FilesTestCase):
    """Certificates that expire."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        self.clock = Clock()

    def factory(self, **more: Path) -> TLSFactory:
        """A factory whose log is kept."""
        lines = self.lines
        factory = TLSFactory("ssl:1", self.files(**more), Factory(), self.clock)

        class Log:
            def warn(self, text: str, **fields: object) -> None:
                lines.append(text.format(**fields))

            info = error = warn

        self.patch(factory, "log", Log())
        return factory

    def test_a_certificate_that_expires(self) -> None:
        """One line each."""
        soon = self.authority.issue("soon", end=DAY, server=True).write(self.directory, "soon")
        factory = self.factory(certificate=soon, key=soon)
        for _ in range(3):
            factory.look()
        self.assertEqual(self.lines, ["The certificate of ssl:1 expires soon"])
        self.authority.issue("new", server=True).write(self.directory, "soon")
        for _ in range(3):
            factory.look()
        self.assertIn("ssl:1 uses new files: CN=new", self.lines[1])
        soon.unlink()
        for _ in range(5):
            factory.look()
        self.assertEqual(len(self.lines), 3)
        self.assertIn("the old ones stay in force", self.lines[2])

    def test_a_certificate_that_has_expired(self) -> None:
        """That it expires soon was logged before, and does not stand for it."""
        soon = self.authority.issue("soon", end=DAY, server=True).write(self.directory, "soon")
        factory = self.factory(certificate=soon, key=soon)
        factory.look()
        later = datetime.now(UTC) + 2 * DAY
        self.patch(certificates, "datetime", mock.Mock(now=lambda _zone: later))
        for _ in range(3):
            factory.look()
        of = "The certificate of ssl:1"
        self.assertEqual(self.lines, [f"{of} expires soon", f"{of} has expired: crawlers refuse it"])


def _denied(*_arguments: object, **_more: object) -> None:
    raise PermissionError(13, "Permission denied")
