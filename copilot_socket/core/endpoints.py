"""Where crawlers connect besides the socket: the endpoints of ``COPILOT_LISTEN``."""

from pathlib import Path

import attrs


@attrs.frozen
class UNIXEndpoint:
    """A further UNIX socket. ``mode`` None: that of the first one. ``text``: as configured, here and below."""

    text: str
    path: str
    mode: int | None = None

    @property
    def name(self) -> str:
        """A short name for people."""
        return f"unix:{self.path}"


@attrs.frozen
class TCPEndpoint:
    """A TCP port. ``interface``: an IP address, "" for all of IPv4; ``port`` 0: any free one."""

    text: str
    port: int
    interface: str = ""

    @property
    def name(self) -> str:
        """A short name for people."""
        return f"{self.text.partition(':')[0]}:{self.port}"

    @property
    def admits(self) -> bool:
        """Whether whoever can connect has shown who they are, so that no token is needed."""
        return False


@attrs.frozen
class CertificateFiles:
    """Files of a TLS endpoint, all in PEM; ``fingerprints`` is a list of SHA-256 in hexadecimal."""

    certificate: Path
    key: Path
    chain: Path | None = None
    client_ca: Path | None = None
    fingerprints: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """Those that are given."""
        return tuple(path for path in attrs.astuple(self) if path is not None)


@attrs.frozen
class TLSEndpoint(TCPEndpoint):
    """TLS over a TCP port, with client certificates if there is a CA of theirs, or a list of fingerprints."""

    files: CertificateFiles = attrs.field(kw_only=True)

    @property
    def admits(self) -> bool:
        """Whether client certificates are required."""
        return self.files.client_ca is not None or self.files.fingerprints is not None


Endpoint = UNIXEndpoint | TCPEndpoint
