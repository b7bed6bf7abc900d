"""COPILOT_LISTEN: the syntax of endpoint strings."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.config.endpoints import endpoints, parse_endpoint
from copilot_socket.config.parsers import NotAllowed
from copilot_socket.core.endpoints import CertificateFiles, TCPEndpoint, TLSEndpoint, UNIXEndpoint

NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/;"), min_size=1, max_size=20)


class EndpointTests(SynchronousTestCase):
    """One endpoint."""

    def test_examples(self) -> None:
        """Each type, with arguments by place and by name, in any order."""
        for text, endpoint in (
            ("tcp:4432", TCPEndpoint("tcp:4432", 4432)),
            ("tcp:interface=10.0.0.1:port=1", TCPEndpoint("tcp:interface=10.0.0.1:port=1", 1, "10.0.0.1")),
            (r"tcp:1:interface=\:\:1", TCPEndpoint(r"tcp:1:interface=\:\:1", 1, "::1")),
            ("tcp:1:interface=localhost", TCPEndpoint("tcp:1:interface=localhost", 1, "127.0.0.1")),
            ("unix:/a", UNIXEndpoint("unix:/a", "/a")),
            ("unix:mode=600:address=/a", UNIXEndpoint("unix:mode=600:address=/a", "/a", 0o600)),
        ):
            self.assertEqual(parse_endpoint(text), endpoint)

    def test_tls(self) -> None:
        """The key is in the certificate's file unless it has one of its own; a CA or a list admits."""
        for kind in ("ssl", "tls"):
            text = f"{kind}:4433:certKey=/c"
            self.assertEqual(
                parse_endpoint(text), TLSEndpoint(text, 4433, files=CertificateFiles(Path("/c"), Path("/c")))
            )
        full = "ssl:1:certKey=/c:privateKey=/k:extraCertChain=/e:clientCA=/a:clientFingerprints=/f"
        files = CertificateFiles(*map(Path, ("/c", "/k", "/e", "/a", "/f")))
        self.assertEqual(parse_endpoint(full), TLSEndpoint(full, 1, files=files))
        admits = [
            parse_endpoint(f"ssl:1:certKey=/c{more}").admits
            for more in ("", ":clientCA=/a", ":clientFingerprints=/f")
        ]
        self.assertEqual(admits, [False, True, True])

    def test_faults(self) -> None:
        """Each says what would be allowed, and names the endpoint."""
        for text, said in (
            ("tcp", "a whole number from 0 to 65535 as the port"),
            ("tcp:65536", "not '65536'"),
            ("tcp:1:2", "one port"),
            ("tcp:1:port=2", "one port"),
            ("tcp:port=1:port=2", "each name once"),
            ("tcp:1:backlog=9", "port, interface as arguments of tcp, not 'backlog'"),
            ("tcp:1:interface=node.example", "an IP address"),
            ("ssl:1", "with certKey"),
            ("ssl:1:certKey=c.pem", "an absolute path"),
            ("ssl:1:certKey=/c:sslmethod=SSLv3_METHOD", "not 'sslmethod'"),
            ("unix:/a:lockfile=0", "not 'lockfile'"),
            ("unix:/a:mode=888", "an octal mode"),
            ("unix:/" + "a" * 107, "107 bytes"),
            ("systemd:domain=INET:index=0", "a socket unit passes"),
            ("tcp6:1", r"interface=\:\:"),
            ("4433", "type tcp, ssl or unix"),
            ("type=tcp:1", "TYPE:ARGUMENT"),
        ):
            fault = str(self.assertRaises(NotAllowed, parse_endpoint, text))
            self.assertIn(said, fault)
            self.assertIn(repr(text), fault)

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """Whatever it is, it is an endpoint or a fault."""
        try:
            endpoint = parse_endpoint(text)
        except NotAllowed:
            return
        self.assertEqual(endpoint.text, text)

    @given(NAMES, NAMES)
    def test_quoting(self, name: str, other: str) -> None:
        """Any path can be written."""
        quoted = [each.replace("\\", r"\\").replace(":", r"\:").replace("=", r"\=") for each in (name, other)]
        endpoint = parse_endpoint(f"ssl:1:certKey=/{quoted[0]}:clientCA=/x/{quoted[1]}")
        assert isinstance(endpoint, TLSEndpoint)
        self.assertEqual(endpoint.files.certificate, Path("/" + name))
        self.assertEqual(endpoint.files.client_ca, Path("/x") / other)


class ListTests(SynchronousTestCase):
    """All of them."""

    def test_separators(self) -> None:
        """Lines and semicolons, with blanks around them; nothing between two is nothing."""
        found = endpoints.parse(" unix:/a ;\n\n unix:/b;; tcp:0\ntcp:0 ")
        self.assertEqual([each.text for each in found], ["unix:/a", "unix:/b", "tcp:0", "tcp:0"])

    def test_the_same_place(self) -> None:
        """Two can't listen at one place."""
        for text in ("tcp:1;ssl:1:certKey=/c", "unix:/a;unix:/b/../a;unix:/a", "tcp:1:interface=::1"):
            self.assertRaises(NotAllowed, endpoints.parse, text)
