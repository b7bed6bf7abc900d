"""Conditional requests (RFC 9110, section 13): entity tags of single objects.

An entity tag is a hash of the answer to GET. In gzip it has a suffix, since other bytes need another tag; in requests
both forms stand for the same object.
"""

import hashlib
import re
from typing import Any

import attrs

from copilot_socket.core.preconditions import ANY, Precondition, PreconditionFailed, names
from copilot_socket.http.messages import Call, Problem, Reply, Streaming, reply

TAG = r'(W/)?("[!#-~\x80-\xff]*")'
"""The syntax of an entity tag."""
_TAG = re.compile(TAG)
_GZIP = '-gzip"'


def etag(document: Any) -> str:
    """The entity tag of the object that GET shows as *document*."""
    return _tag(reply(document).body)


def tag_of_gzip(tag: str) -> str:
    """*tag* in gzip."""
    return tag[:-1] + _GZIP


def precondition(call: Call, *, creates: bool = False) -> Precondition | None:
    """What *call* requires of the object that it changes, or perhaps *creates*; None: nothing.

    Raises :class:`Problem` 400 for malformed tags.
    """
    if_match = _tags(call, "if-match", weak=False)
    if_none_match = _tags(call, "if-none-match", weak=True) if creates else None
    return None if if_match is None and if_none_match is None else Precondition(if_match, if_none_match, etag)


def changed(document: dict[str, Any], status: int = 200, **more: Any) -> Reply:
    """The answer to a change of the object that GET shows as *document*, with its entity tag, and *more* members."""
    return reply({**document, **more}, status, ETag=etag(document))


def tagged(call: Call, answer: Reply | Streaming) -> Reply | Streaming:
    """*answer* to GET of a single object, with its entity tag; 304 if the client has it (If-None-Match).

    Raises :class:`Problem` 400 for malformed tags.
    """
    known = _tags(call, "if-none-match", weak=True)
    if not isinstance(answer, Reply) or any(name == "include" for name, _ in call.query):
        return answer  # what is included changes by itself, and changes are compared with the object alone
    tag = _tag(answer.body)
    if known is not None and names(known, tag):
        in_gzip = tag_of_gzip(tag) in call.headers["if-none-match"]
        return Reply(304, b"", headers={"ETag": tag_of_gzip(tag) if in_gzip else tag})
    return attrs.evolve(answer, headers={**answer.headers, "ETag": tag})


def failed(error: PreconditionFailed) -> Problem:
    """The 412 that names the present entity tag."""
    if error.etag is None:
        return Problem(412, "Precondition failed: there is no such object", etag=None)
    return Problem(412, f"Precondition failed: the object's entity tag is {error.etag}", etag=error.etag)


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _tags(call: Call, header: str, *, weak: bool) -> frozenset[str] | None:
    """The entity tags in *header*, without those that are weak unless they count; None without the header."""
    given = call.headers.get(header)
    if given is None:
        return None
    if given.strip() == ANY:
        return frozenset({ANY})
    if _TAG.sub("", given).strip(" \t,") or not _TAG.search(given):
        raise Problem(400, f"{header.title()} must be * or entity tags in double quotes, separated by commas")
    found = (tag for is_weak, tag in _TAG.findall(given) if weak or not is_weak)
    return frozenset(f'{tag.removesuffix(_GZIP)}"' if tag.endswith(_GZIP) else tag for tag in found)
