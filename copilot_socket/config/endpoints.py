"""The syntax of ``COPILOT_LISTEN``: Twisted's endpoint strings (``serverFromString``) that make sense here.

They are read here, since Twisted's ``ssl:`` knows no client certificates, and its ports lose what a client sent that
has closed (:mod:`copilot_socket.wire.transport`).
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from copilot_socket.config.parsers import NotAllowed, Parser, absolute_path, host, integer, mode, socket_path
from copilot_socket.core.endpoints import CertificateFiles, Endpoint, TCPEndpoint, TLSEndpoint, UNIXEndpoint

_PORT = integer(0, 65535)
_INSTEAD = {
    "systemd": "; a socket unit passes the crawlers' socket without an endpoint",
    "tcp6": r"; tcp:PORT:interface=\:\: listens on IPv6",
}
_ALLOWED = "Twisted endpoint strings tcp:PORT, ssl:PORT:certKey=PATH and unix:PATH, one a line or separated by ;"


def _tcp(text: str, values: dict[str, Any]) -> Endpoint:
    return TCPEndpoint(text, **values)


def _tls(text: str, values: dict[str, Any]) -> Endpoint:
    place = {name: values.pop(name) for name in ("port", "interface") if name in values}
    if "certificate" not in values:
        raise NotAllowed(f"an ssl endpoint with certKey, not {text!r}")
    values.setdefault("key", values["certificate"])
    return TLSEndpoint(text, **place, files=CertificateFiles(**values))


def _unix(text: str, values: dict[str, Any]) -> Endpoint:
    return UNIXEndpoint(text, **values)


_PLACE: Mapping[str, tuple[str, Parser]] = {"port": ("port", _PORT), "interface": ("interface", host)}
_FILES: Mapping[str, tuple[str, Parser]] = {
    "certKey": ("certificate", absolute_path),
    "privateKey": ("key", absolute_path),
    "extraCertChain": ("chain", absolute_path),
    "clientCA": ("client_ca", absolute_path),
    "clientFingerprints": ("fingerprints", absolute_path),
}
_PATH: Mapping[str, tuple[str, Parser]] = {"address": ("path", socket_path), "mode": ("mode", mode)}

_Maker = Callable[[str, dict[str, Any]], Endpoint]
_TYPES: Mapping[str, tuple[_Maker, str, Mapping[str, tuple[str, Parser]]]] = {
    "tcp": (_tcp, "port", _PLACE),
    "ssl": (_tls, "port", {**_PLACE, **_FILES}),
    "tls": (_tls, "port", {**_PLACE, **_FILES}),
    "unix": (_unix, "address", _PATH),
}
"""Type → its class, the argument that needs no name, and its arguments: the field and syntax of each."""


def parse_endpoint(text: str) -> Endpoint:
    """One endpoint. Raises :class:`NotAllowed`."""
    (kind, *unnamed), arguments = _split(text)
    if kind not in _TYPES:
        raise NotAllowed(f"an endpoint of type tcp, ssl or unix, not {text!r}{_INSTEAD.get(kind, '')}")
    make, first, known = _TYPES[kind]
    for value in unnamed:
        if first in arguments:
            raise NotAllowed(f"one {first} and otherwise NAME=VALUE ({', '.join(known)}), not {text!r}")
        arguments[first] = value
    values: dict[str, Any] = {}
    for name, value in {first: "", **arguments}.items():
        if name not in known:
            raise NotAllowed(f"{', '.join(known)} as arguments of {kind}, not {name!r}, as in {text!r}")
        field, parser = known[name]
        try:
            values[field] = parser.parse(value)
        except ValueError:
            raise NotAllowed(f"{parser.allowed} as the {name} of {text!r}, not {value!r}") from None
    if values.get("interface") == "localhost":
        values["interface"] = "127.0.0.1"
    return make(text, values)


def _split(text: str) -> tuple[list[str], dict[str, str]]:
    r"""The parts between colons: those without a name, and those with one. ``\`` quotes the next character."""
    parts = [[""]]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts[-1][-1] += next(characters, "\\")
        elif character == ":":
            parts.append([""])
        elif character == "=" and len(parts[-1]) == 1:
            parts[-1].append("")
        else:
            parts[-1][-1] += character
    named = [(part[0], part[1]) for part in parts if len(part) == 2]
    unnamed = [part[0] for part in parts if len(part) == 1]
    if len(dict(named)) < len(named) or len(parts[0]) == 2:
        raise NotAllowed(f"TYPE:ARGUMENT:NAME=VALUE…, each name once, not {text!r}")
    return unnamed, dict(named)


def _parse(text: str) -> tuple[Endpoint, ...]:
    endpoints = tuple(parse_endpoint(word.strip()) for word in re.split("[\n;]", text) if word.strip())
    places = [_place(endpoint) for endpoint in endpoints]
    for endpoint, place in zip(endpoints, places, strict=True):
        if place is not None and places.count(place) > 1:
            raise NotAllowed(f"each place once, not {endpoint.text!r} and another one")
    return endpoints


def _place(endpoint: Endpoint) -> object:
    """What only one endpoint can have; None for any free port."""
    if isinstance(endpoint, UNIXEndpoint):
        return Path(endpoint.path)
    return (endpoint.interface, endpoint.port) if endpoint.port else None


endpoints = Parser(_ALLOWED, _parse)
