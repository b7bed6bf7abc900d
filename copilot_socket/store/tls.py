"""TLS to the database: whether a connection verifies its server, and what mends one that can't be made."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

DEFAULT_ROOT = "~/.postgresql/root.crt"
"""Where libpq looks for the certificates to trust."""
VERIFY = "sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt"
"""What to append to a URL, so that the server is verified."""
_CLIENT = "let sslcert and sslkey in DATABASE_URL name this node's certificate and key (PEM, the key with mode 600)"

REMEDIES: Mapping[str, str] = {
    "key values mismatch": "let sslcert and sslkey in DATABASE_URL name files that belong together",
    "root certificate file": "let sslrootcert in DATABASE_URL name the certificates to trust: "
    "sslrootcert=/etc/ssl/certs/ca-certificates.crt, or the file of your own authority",
    "certificate verify failed": "let sslrootcert in DATABASE_URL name the file of the authority that signed the "
    "server's certificate",
    "does not match host name": "let DATABASE_URL name the host as the server's certificate does",
    "server does not support SSL": "turn TLS on at the server (ssl, ssl_cert_file and ssl_key_file in "
    "postgresql.conf), since sslmode in DATABASE_URL demands it",
    "valid client certificate": _CLIENT,
    "certificate required": _CLIENT,
    "handshake failure": _CLIENT,
    "certificate unknown": "give this node a certificate that the server's authority (ssl_ca_file) has signed",
    "unknown ca": "give this node a certificate that the server's authority (ssl_ca_file) has signed",
    "certificate authentication failed": "the certificate's common name must be the role's, or pg_ident.conf map it",
    "certificate file": _CLIENT,
    "private key file": _CLIENT,
    "certificate present, but not private key": _CLIENT,
    "invalid sslmode value": "sslmode is one of verify-full, verify-ca, require, prefer, allow, disable",
}
"""Words of libpq's messages → what mends it. libpq has no codes for these."""


def remedy(message: str) -> str | None:
    """What mends the TLS fault that libpq's *message* reports; None if it reports none."""
    return next((mends for words, mends in REMEDIES.items() if words in message), None)


def leaves(parameters: Mapping[str, str | None]) -> bool:
    """Whether a connection with these parameters of libpq leaves the machine, as far as the host's name says."""
    host = parameters.get("host") or parameters.get("hostaddr") or "/"
    if host.startswith(("/", "@")) or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True


def verifies(parameters: Mapping[str, str | None]) -> bool:
    """Whether these parameters of libpq make it verify who the server is, and refuse to do without TLS."""
    mode = parameters.get("sslmode")
    if mode == "require":  # verify-ca if there is a root certificate, for compatibility
        root = Path(parameters.get("sslrootcert") or DEFAULT_ROOT).expanduser()
        return root.exists() or parameters.get("channel_binding") == "require"
    return mode in ("verify-ca", "verify-full")


def unverified(connection: Any) -> tuple[str, str] | None:
    """What is unsafe about a *connection* of psycopg2 to another machine, and the remedy; None if nothing is."""
    info = connection.info
    parameters = info.dsn_parameters
    if not leaves(parameters) or verifies(parameters):
        return None
    state = "is encrypted, but to any server that answers" if info.ssl_in_use else "is not encrypted"
    detail = f"the connection to {parameters.get('host') or parameters.get('hostaddr')} {state}"
    return (
        f"{detail} (sslmode={parameters.get('sslmode')})",
        f"append {VERIFY} to DATABASE_URL, or name your own authority",
    )
