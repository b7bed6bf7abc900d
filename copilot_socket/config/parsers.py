"""The syntax of values. A parser converts text to a value, or raises ValueError."""

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from copilot_socket.config.dsn import dsn_parts
from copilot_socket.core.origins import origin

LONGEST_TOKEN = 4096
"""Characters; a longer one may not fit into a request header, here or in proxies."""
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_DATABASE_URL = re.compile(r"postgres(ql)?://([^@/?]*@)?[^@/?]*(/[^@/?]*(\?.*)?|\?[^@]*)?", re.DOTALL)
_SOCKET_PATH_BYTES = 107  # sun_path has 108, with the final zero byte
_PATH_BYTES = 900  # MAXPGPATH is 1024, for files below it too; postmaster.pid has one path per line
_NAME_BYTES = 255  # NAME_MAX
_OWNER_READS_AND_WRITES = 0o600
PARTS = ("wire", "handlers", "store", "http", "audit")
"""The parts of the package for which DEBUG can enable debug lines."""
_NAMESPACES = ("socket:*", *(f"socket:{part}" for part in PARTS), "socket:node")


@attrs.frozen
class Parser:
    """`allowed` completes the sentence "allowed is …"; `parse` raises ValueError for anything else.

    `unit` is that of the text: "ms" or "bytes".
    """

    allowed: str
    parse: Callable[[str], Any]
    unit: str | None = None


class NotAllowed(ValueError):
    """A value that is not allowed; the text completes the sentence "allowed is …", more exactly than the parser's."""


def _whole_number(text: str, low: int, high: int) -> int:
    # int() also accepts "1_000", "+5" and digits of other scripts.
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
    """A whole number of milliseconds from `low` to `high`; the value is in seconds (float)."""
    return Parser(
        f"milliseconds, a whole number from {low} to {high}",
        lambda text: _whole_number(text, low, high) / 1000,
        "ms",
    )


def size(low: int, high: int) -> Parser:
    """A whole number of bytes from `low` to `high`."""
    return attrs.evolve(integer(low, high), unit="bytes")


def choice(*names: str) -> Parser:
    """One of *names*, case-insensitively."""

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
        raise ValueError(text)  # the node connects to it to find out whether the socket is live
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
    # An unencoded @, / or ? in a password would be parsed as part of host, port or database, and shown as such.
    if _DATABASE_URL.fullmatch(text) is None:
        raise ValueError("not encoded")
    parts = dsn_parts(text)
    if "@" in str(parts.get("host", ""))[1:]:  # a leading @ means an abstract socket
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


def _some(words: tuple[str, ...]) -> tuple[str, ...]:
    """*words*, of which there must be one: none at all would admit everybody."""
    if not words:
        raise ValueError("none")
    return words


def _parse_tokens(text: str) -> tuple[str, ...]:
    return tuple(map(_parse_token, _some(_words(text, ","))))


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
    return tuple(_whole_number(word, 0, 2**32 - 2) for word in _some(_words(text, ",")))


def _parse_origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(word) for word in _words(text, ","))


def _origin(word: str) -> str:
    """The origin as browsers send it: lower case, without the scheme's default port."""
    found = None if "/" in word.partition("://")[2] else origin(word.lower())
    if found is None:
        raise ValueError(word)
    return found


def _parse_gitlab_origin(text: str) -> str:
    """The origin of a GitLab's URL, which may have a path."""
    found = origin(text)
    if found is None:
        raise ValueError("URL")  # not the text, which may contain a password
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
tokens = Parser(f"tokens of 1 to {LONGEST_TOKEN} visible ASCII characters, separated by commas", _parse_tokens)
text = Parser("any text", str)
secret_keys = Parser("Fernet keys as `copilot-socket keys new` makes them, separated by commas", _parse_secret_keys)
uids = Parser("user ids separated by commas", _parse_uids)
gitlab_origin = Parser(
    "an http or https URL with a host and without user name, query or fragment", _parse_gitlab_origin
)
origins = Parser("origins such as https://app.example.org, separated by commas", _parse_origins)
namespaces = Parser(
    f"{_NAMESPACES[0]}, or some of {', '.join(_NAMESPACES[1:])}, separated by commas", _parse_namespaces
)
