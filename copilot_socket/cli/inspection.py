"""The checks of `check` on the socket, the HTTP port and the log files. They change nothing."""

import errno
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs

from copilot_socket.config import Config
from copilot_socket.core.endpoints import TCPEndpoint, TLSEndpoint
from copilot_socket.http.own_token import TOKEN, given_token
from copilot_socket.private_files import PrivateFileError
from copilot_socket.wire.certificates import CertificateFault, read
from copilot_socket.wire.listening import probe

_SHORT_TOKEN = 20
_GUESSED = f"fewer than {_SHORT_TOKEN} characters might be guessed: make a random one (openssl rand -hex 32)"


@attrs.frozen
class Finding:
    """The result of one check. `remedy`: how to fix it if it is not `good`, or a hint if it is."""

    subject: str
    good: bool
    detail: str
    remedy: str | None = None


@attrs.frozen
class SocketFinding:
    """The finding about the socket, and whether a node listens on it."""

    finding: Finding
    live: bool


def inspect_socket(path: str) -> SocketFinding:
    """Whether a node could listen on `path`, or already does."""
    try:
        found = probe(Path(path))
    except OSError as error:
        fault = Finding("socket", False, f"{path}: {error.strerror}", "set SOCKET_PATH to another path")
        return SocketFinding(fault, live=False)
    if found == "free":
        return SocketFinding(_directory(Path(path).parent, path), live=False)
    if found == "other":
        remedy = f"move it away (mv {shlex.quote(path)} …), or set SOCKET_PATH to another path"
        fault = Finding("socket", False, f"{path} exists and is not a socket", remedy)
        return SocketFinding(fault, live=False)
    if found == "stale":
        return SocketFinding(_directory(Path(path).parent, f"{path} (left by a node that died)"), live=False)
    if not os.access(path, os.W_OK):
        remedy = f"run as the user whose node it is ({_owner(path)}), or set SOCKET_PATH to another path"
        return SocketFinding(Finding("socket", False, f"{path}: no right to connect to it", remedy), live=False)
    return SocketFinding(Finding("socket", True, f"a node is listening on {path}"), live=True)


def _owner(path: str) -> str:
    try:
        return Path(path).owner()
    except (OSError, KeyError):
        return "its owner"


def _directory(directory: Path, path: str) -> Finding:
    """Whether the socket's directory is writable, or can be created."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return Finding("socket", False, f"{path}: {there} is not a directory", "set SOCKET_PATH to another path")
    if not os.access(there, os.W_OK | os.X_OK):
        command = f"install -d -o {os.geteuid()} -m 755 {shlex.quote(str(directory))}"
        remedy = f"as root run `{command}`, or set SOCKET_PATH to another path"
        return Finding("socket", False, f"{path}: no right to write to {there}", remedy)
    made = "" if there == directory else f" ({directory} will be made)"
    return Finding("socket", True, f"{path}{made}")


def inspect_http_port(host: str, port: int) -> Finding:
    """Whether the HTTP port is free."""
    address = "127.0.0.1" if host == "localhost" else host
    shown = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    error = _bind(address, port)
    if error is not None:
        taken = error.errno == errno.EADDRINUSE
        who = f"see whose it is (ss -ltnp 'sport = :{port}'), or set COPILOT_HTTP_PORT to a free one"
        remedy = who if taken else "set COPILOT_HTTP_HOST to an address of this machine, or COPILOT_HTTP_PORT"
        return Finding("HTTP port", False, f"{shown}: {error.strerror or error}", remedy)
    return Finding("HTTP port", True, f"{shown} is free" if port else f"any free port of {address}")


def inspect_crawler_tokens(config: Config) -> Iterator[Finding]:
    """A note if a crawlers' token is short."""
    if any(len(token) < _SHORT_TOKEN for token in config.crawler_tokens):
        yield Finding("crawler token", True, "that of COPILOT_CRAWLER_TOKEN", _GUESSED)


def inspect_http_token(config: Config) -> Finding:
    """Whether the HTTP API has a token, or a node can make one."""
    subject, path = "HTTP token", config.state_dir / TOKEN
    if config.http_token is not None:
        short = len(config.http_token) < _SHORT_TOKEN
        return Finding(subject, True, "that of COPILOT_HTTP_TOKEN", _GUESSED if short else None)
    try:
        made = given_token(config.state_dir) is not None
    except PrivateFileError as error:
        return Finding(subject, False, str(error), "or set COPILOT_HTTP_TOKEN")
    except OSError as error:
        remedy = f"run as the user whose node it is ({_owner(str(path))}), or set COPILOT_HTTP_TOKEN"
        return Finding(subject, False, f"{path}: {error.strerror}", remedy)
    if made:
        return Finding(subject, True, f"that of {path}")
    there = next(each for each in path.parents if each.is_dir())
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = f"as root run `install -d -o {os.geteuid()} -m 700 {shlex.quote(str(path.parent))}`"
        return Finding(
            subject,
            False,
            f"{path} can't be made: no right to write to {there}",
            f"{remedy}, or set COPILOT_HTTP_TOKEN",
        )
    return Finding(subject, True, f"the first start makes {path}")


def _bind(address: str, port: int) -> OSError | None:
    """Why nobody can listen there now; None if that is possible."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error
    return None


def inspect_log_files(config: Config) -> Iterator[Finding]:
    """Whether the configured log files are writable, or can be created."""
    for variable, path in (("SOCKET_LOG_FILE", config.log_file), ("SOCKET_ERROR_LOG_FILE", config.error_log_file)):
        if path is not None:
            yield _log_file(variable, path)


def _log_file(variable: str, path: Path) -> Finding:
    there = path if path.exists() else path.absolute().parent
    remedy = f"make its directory one that this user may write to, or set {variable} to another path"
    if not there.exists():
        return Finding(variable, False, f"{path}: there is no directory {there}", remedy)
    if there == path and path.is_dir():
        return Finding(variable, False, f"{path} is a directory", remedy)
    if not os.access(there, os.W_OK if there == path else os.W_OK | os.X_OK):
        return Finding(variable, False, f"{path}: no right to write to {there}", remedy)
    return Finding(variable, True, str(path))


def inspect_endpoints(config: Config, live: bool) -> Iterator[Finding]:
    """Whether the files of COPILOT_LISTEN can be used, and, unless a node is *live*, its places are free."""
    for endpoint in config.listen:
        subject = f"COPILOT_LISTEN {endpoint.name}"
        if isinstance(endpoint, TCPEndpoint):
            yield _network(endpoint, subject, live, config.http_port)
            continue
        found = inspect_socket(endpoint.path)
        remedy = (found.finding.remedy or "").replace("SOCKET_PATH", "COPILOT_LISTEN") or None
        yield attrs.evolve(found.finding, subject=subject, remedy=remedy)


def _network(endpoint: TCPEndpoint, subject: str, live: bool, http_port: int) -> Finding:
    details: list[str] = []
    hint = None
    if isinstance(endpoint, TLSEndpoint):
        try:
            credentials = read(endpoint.files)
        except CertificateFault as fault:
            return Finding(subject, False, str(fault), "let this user read the right file, or set COPILOT_LISTEN")
        details.append(f"certificate {credentials.description}")
        hint = credentials.concern and f"renew the certificate: it {credentials.concern}"
        if credentials.fingerprints is not None:
            details.append(f"fingerprints: {len(credentials.fingerprints)}")
            hint = hint or (
                None if credentials.fingerprints else "list the fingerprints of clients: none is admitted"
            )
    if endpoint.port == http_port:
        return Finding(subject, False, f"port {endpoint.port} is that of HTTP", "set COPILOT_LISTEN")
    error = None if live else _bind(endpoint.interface or "0.0.0.0", endpoint.port)
    if error is not None:
        remedy = f"see whose it is (ss -ltnp 'sport = :{endpoint.port}'), or set COPILOT_LISTEN"
        return Finding(subject, False, f"port {endpoint.port}: {error.strerror or error}", remedy)
    details.append("a node is listening" if live else f"port {endpoint.port} is free")
    return Finding(subject, True, "; ".join(details), hint)
