"""Worst-case messages: every type, with each field as large, as deep and as invalid as possible."""

from collections.abc import Iterator

from copilot_socket.core.messages import ELEMENTS, INCOMING
from copilot_socket.wire.schemas import bounds

DATA: dict[str, dict[str, bytes]] = {
    "hello": {"crawlerId": b'"worst"'},
    "heartbeat": {"activeJobs": b"0", "totalProcessed": b"0", "systemStatus": b'"idle"'},
    "job_request": {},
    "job_started": {},
    "job_progress": {"stage": b'"fetching"', "entityType": b'"issue"', "processed": b"0"},
    "job_completed": {"success": b"true", "finalCounts": b"{}"},
    "job_failed": {"error": b'""', "isRecoverable": b"true"},
    "job_released": {},
    "jobs_discovered": {"discovered_jobs": b"[]"},
    "discovery": {"entityType": b'"group"', "entities": b"[]"},
    "token_refresh_request": {},
    "rate_limit": {"remaining": b"0"},
}
"""The required fields of each type, as JSON."""
GOOD = {
    "jobs_discovered": b'{"job_type":"crawl_user","entity_id":"7","namespace_path":"worst","entity_name":"n"}',
    "discovery": b'{"id":7,"name":"n","path":"worst"}',
}
"""A valid element of each list whose invalid elements are skipped."""
_ENVELOPE = 400
"""Bytes reserved for the rest of a message."""


def message(type_: str, job: str, fields: dict[str, bytes], around: bytes = b"") -> bytes:
    """One message about the assignment *job*, with *fields* of its data as JSON, and *around* before them."""
    data = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in {**DATA[type_], **fields}.items())
    envelope = f'"type":"{type_}","timestamp":"t","id":"worst","jobId":"{job}"'.encode()
    return b"{%s%s,%s}\n" % (around, envelope, b'"data":{%s}' % data)


def values(size: int) -> dict[str, bytes]:
    """Values for a field, each about *size* bytes of JSON."""
    lists = _repeated(b"[],", size)
    return {
        "lists": b"[%s]" % lists,
        "an object of lists": b'{"a":[%s]}' % lists,
        "objects": b"[%s]" % _repeated(b"{},", size),
        "numbers": b"[%s]" % _repeated(b"1,", size),
        "strings": b"[%s]" % _repeated(b'"x",', size),
        "names": b"{%s}" % b",".join(b'"%d":1' % number for number in range(size // 11)),
        "no numbers by name": b"{%s}" % b",".join(b'"%d":""' % number for number in range(size // 11)),
        "a list nested": b"[" * (size // 2) + b"]" * (size // 2),
        "an object nested": b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
        "chains": b"[%s]" % _repeated(b"[" * 90 + b"]" * 90 + b",", size),
        "one string": b'"%s"' % (b"\\n" * (size // 2)),
        "integers too large": b'{"a":[%s]}' % _repeated(b"99999999999999999999,", size),
        "lone surrogates": b'{"a":[%s]}' % _repeated(b'"\\ud800",', size),
    }


def worst(size: int, job: str) -> Iterator[tuple[str, bytes]]:
    """Name and message, each of nearly *size* bytes, about the assignment *job*."""
    room = size - _ENVELOPE
    fillings = values(room)
    for type_ in INCOMING:
        for field in (*bounds(type_), "unknown"):
            for filling, value in fillings.items():
                yield f"{type_}: {field} of {filling}", message(type_, job, {field: value})
        yield f"{type_}: many unknown fields", message(type_, job, {}, _repeated(b'"u":{},', room, last=b""))
    for type_, element in GOOD.items():
        name = ELEMENTS[type_]
        for filling in (b"1,", b"{},", b"[],", b'"x",', element[:-1] + b',"x":[1]},', b"%s,1," % element):
            value = b"[%s,%s]" % (element, _repeated(filling, room - len(element)))
            yield f"{type_}: good and then {filling[-12:].decode()}", message(type_, job, {name: value})


def _repeated(part: bytes, size: int, last: bytes = b"1") -> bytes:
    """*part* repeated up to *size* bytes, followed by *last*."""
    return part * ((size - len(last)) // len(part)) + last
