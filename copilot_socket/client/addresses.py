"""Where a server listens: the path of a UNIX socket, or one of these."""

from pathlib import Path

import attrs


@attrs.frozen
class TCP:
    """The server at *host* and *port*, without encryption; it admits crawlers by a token."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:{self.host}:{self.port}"


@attrs.frozen
class TLS:
    """The server at *host* and *port*, whose certificate a CA in the file *ca* must have issued for *host*.

    *certificate* and *key* are files of the crawler; None where it has a token instead. All are PEM, and read at each
    connection, so that a renewed one needs no restart.
    """

    host: str
    port: int
    ca: Path | str
    certificate: Path | str | None = None
    key: Path | str | None = None
    """None: in the same file as the certificate."""

    def __str__(self) -> str:
        return f"tls:{self.host}:{self.port}"


Address = str | Path | TCP | TLS
