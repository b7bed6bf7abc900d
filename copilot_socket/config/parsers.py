"""What a value may look like. A parser turns text into a value, or raises ValueError."""

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import psycopg2
from psycopg2.extensions import parse_dsn

from copilot_socket.core.origins import origin

LONGEST_TOKEN = 4096
"""Characters that fit into a header of a request, here and in proxies."""
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_DATABASE_URL = re.compile(r"postgres(ql)?://([^@/?]*@)?[^@/?]*(/[^@/?]*(\?.*)?|\?[^@]*)?", re.DOTALL)
_SOCKET_PATH_BYTES = 107  # sun_path holds 108 with its closing zero
_PATH_BYTES = 900  # PostgreSQL's paths hold 1024, those of files below included; its files have a path a line
_NAME_BYTES = 255  # NAME_MAX
_OWNER_READS_AND_WRITES = 0o600
PARTS = ("wire", "handlers", "store", "http")
"""The parts of the package whose debug lines DEBUG can ask for."""
_NAMESPACES = ("socket:*", *(f"socket:{part}" for part in PARTS), "socket:node")


@attrs.frozen
class Parser:
    """`allowed` completes the sentence "allowed is …"; `parse` raises ValueError for anything else."""

    allowed: str
    parse: Callable[[str], Any]


def _whole_number(text: str, low: int, high: int) -> int:
    # int() would also take "1_000", "+5" and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise ValueError(text)
    number = int(text)
    if not low <= number <= high:
        raise ValueError(text)
    return number


def integer(low: int, high: int) -> Parser:
    """A whole number from `low` to `high`."""
    return Parser(f"a whole number from {low} to {high}", lambda text: _whole_number(text, low, high))


def milliseconds(low: int, high: int) -> Parser:
    """Milliseconds from `low` to `high` outside, seconds as a float inside."""
    return Parser(
        f"milliseconds, a whole number from {low} to {high}",
        lambda text: _whole_number(text, low, high) / 1000,
    )


def choice(*names: str) -> Parser:
    """One of a few names, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(text)
        return text.lower()

    return Parser("one of " + ", ".join(names), parse)


def _parse_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(text)


def _parse_mode(text: str) -> int:
    if not re.fullmatch(r"(0o|0)?[0-7]{3}", text, re.ASCII):
        raise ValueError(text)
    mode = int(text.removeprefix("0o"), 8)
    if mode & _OWNER_READS_AND_WRITES != _OWNER_READS_AND_WRITES:
        raise ValueError(text)  # the node itself could not connect to find out whether a socket is alive
    return mode


def _parse_socket_path(text: str) -> str:
    if not text.startswith("/") or text.endswith("/") or len(os.fsencode(text)) > _SOCKET_PATH_BYTES:
        raise ValueError(text)
    return text


def _parse_absolute_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or not text.isprintable():
        raise ValueError(text)
    if len(os.fsencode(path)) > _PATH_BYTES or any(len(os.fsencode(name)) > _NAME_BYTES for name in path.parts):
        raise ValueError(text)
    return path


def _parse_path(text: str) -> Path:
    if text == "-":
        raise ValueError(text)
    return Path(text)


def _parse_log_file(text: str) -> Path | None:
    return None if text == "-" else Path(text)


def _parse_database_url(text: str) -> str:
    # A password with an @, / or ? of its own would be taken for host, port or database in part, and shown as such.
    if _DATABASE_URL.fullmatch(text) is None:
        raise ValueError("not encoded")
    try:
        parts = parse_dsn(text)
    except psycopg2.ProgrammingError:
        # Not chained: the text of the error quotes the URL, password and all.
        raise ValueError("unreadable") from None
    if "@" in str(parts.get("host", ""))[1:]:  # the first is an abstract socket's
        raise ValueError("host")
    for port in filter(None, str(parts.get("port", "")).split(",")):
        _whole_number(port, 1, 65535)
    return text


def _parse_host(text: str) -> str:
    if text.lower() == "localhost":
        return "localhost"
    return str(ipaddress.ip_address(text))


def _parse_token(text: str) -> str:
    if len(text) > LONGEST_TOKEN or not re.fullmatch(r"[!-~]+", text, re.ASCII):
        raise ValueError("token")
    return text


def _words(text: str, separators: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in re.split(f"[{separators}]", text) if word.strip())


def _parse_secret_keys(text: str) -> tuple[str, ...]:
    keys = _words(text, ",")
    if not keys or not all(_FERNET_KEY.fullmatch(key) for key in keys):
        raise ValueError("keys")
    return keys


def _parse_namespaces(text: str) -> tuple[str, ...]:
    ours = tuple(word for word in _words(text, r",\s") if word.lstrip("-").startswith("socket:"))
    if not set(ours) <= set(_NAMESPACES):
        raise ValueError(text)
    return ours


def _parse_uids(text: str) -> tuple[int, ...]:
    return tuple(_whole_number(word, 0, 2**32 - 2) for word in _words(text, ","))


def _parse_origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(word) for word in _words(text, ","))


def _origin(word: str) -> str:
    """As a browser writes it: in lower case, without the port that its scheme has anyway."""
    found = None if "/" in word.partition("://")[2] else origin(word.lower())
    if found is None:
        raise ValueError(word)
    return found


def _parse_gitlab_origin(text: str) -> str:
    """The origin of a GitLab's URL, which may have a path."""
    found = origin(text)
    if found is None:
        raise ValueError("URL")  # it may hold a password
    return found


boolean = Parser("one of true, false, yes, no, on, off, 1, 0", _parse_boolean)
mode = Parser("an octal mode that lets its owner read and write, such as 660", _parse_mode)
socket_path = Parser(
    f"an absolute path of at most {_SOCKET_PATH_BYTES} bytes that does not end in /", _parse_socket_path
)
absolute_path = Parser(
    f"an absolute path of at most {_PATH_BYTES} bytes ({_NAME_BYTES} a name), without control characters",
    _parse_absolute_path,
)
path = Parser("a path", _parse_path)
log_file = Parser("a path, or - for standard output", _parse_log_file)
database_url = Parser(
    "a URL postgresql://user:password@host:port/database (special characters percent-encoded: @ is %40, / is %2F)",
    _parse_database_url,
)
host = Parser("an IP address or localhost", _parse_host)
token = Parser(f"1 to {LONGEST_TOKEN} visible ASCII characters without spaces", _parse_token)
text = Parser("any text", str)
secret_keys = Parser("Fernet keys as `copilot-socket keys new` makes them, separated by commas", _parse_secret_keys)
uids = Parser("user ids separated by commas", _parse_uids)
gitlab_origin = Parser(
    "an http or https URL with a host and without user name, query or fragment", _parse_gitlab_origin
)
origins = Parser("origins such as https://app.example.org, separated by commas", _parse_origins)
endpoints = Parser("Twisted endpoint strings, one a line or separated by ;", lambda text: _words(text, "\n;"))
namespaces = Parser(
    f"{_NAMESPACES[0]}, or some of {', '.join(_NAMESPACES[1:])}, separated by commas", _parse_namespaces
)
