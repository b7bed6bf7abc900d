"""Requests with an Idempotency-Key are carried out once (docs/adr/0023-keys-and-preconditions.md)."""

import hashlib
import re
import secrets

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.core.acts import Key
from copilot_socket.http.gate import RequestHead
from copilot_socket.http.messages import Call, Problem, Reply
from copilot_socket.http.routes import Handler
from copilot_socket.store import idempotency
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.idempotency import MAX_ANSWER, KeyAnswer, KeyTaken, Taken

_HEADER = "idempotency-key"
REPLAYED = "Idempotency-Replayed"
PATIENCE = 15.0
"""Seconds after which a request that took a key is no longer awaited: longer than a pause waits for nodes."""
FIRST_LOOK, LAST_LOOK = 0.02, 1.0
"""Seconds between looks for the answer of another request, at first, and at most."""
_SLICE = 1024 * 1024
"""Bytes that are hashed in one slice: 3 ms at most."""
_NAME = re.compile("[ -~]{1,255}")


@attrs.frozen
class Idempotency:
    """Calls handlers of requests with a key, unless another request with that key has done so."""

    database: Database
    reactor: IReactorTime

    log = Logger()

    async def answer(self, call: Call, name: str, line: str, handler: Handler) -> Reply:
        """The answer of *handler*, or the stored one. *name*: the key; *line*: method and target of the request.

        Raises :class:`Problem` 409 where the stored answer is not known, 422 if the key is that of something else.
        """
        own = f"{call.actor.name} {name}"
        key = Key(own, await _fingerprint(line, call), secrets.token_hex(16))
        former = own if call.within is not None else name
        refused: Problem | None = None
        wait = FIRST_LOOK
        while True:
            taken = await idempotency.find(self.database, key, former, line)
            if taken is not None and taken.request != key.request:
                replayed = _replayed(taken, key, line)
                if replayed is not None:
                    return replayed
                await deferLater(self.reactor, wait)
                wait = min(2 * wait, LAST_LOOK)
            elif refused is not None:
                raise refused
            else:
                try:
                    return await self._carry_out(attrs.evolve(call, key=key), key, handler)
                except KeyTaken:
                    pass  # nothing was changed; the answer is that of the other request
                except Problem as problem:
                    refused = problem  # unless another request with this key has just done what can't be done twice

    async def _carry_out(self, call: Call, key: Key, handler: Handler) -> Reply:
        """The answer of *handler*, stored with *key*. Raises :class:`KeyTaken`."""
        reply = await handler(call)
        assert isinstance(reply, Reply)
        if reply.status < 300 and not reply.kept:
            try:
                await idempotency.answer(self.database, key, to_keep(reply))
            except DATABASE_ERRORS as error:  # what was done is done, and a repetition is answered so
                self.log.warn("The answer to a request with a key was not stored: {error}", error=str(error))
        return reply


def key_in(head: RequestHead) -> str | None:
    """The key of a request. Raises :class:`Problem` 400 for several, 422 for a malformed one."""
    keys = set(head.headers.get(_HEADER, ()))
    if len(keys) > 1:
        raise Problem(400, "Request has several headers Idempotency-Key, which differ")
    name = keys.pop() if keys else None
    if name is not None and not _NAME.fullmatch(name):
        raise Problem(422, "Idempotency-Key must be 1 to 255 printable ASCII characters", errors=[])
    return name


def to_keep(reply: Reply) -> KeyAnswer:
    """What is stored of *reply*."""
    if reply.secret or len(reply.body) > MAX_ANSWER:
        return KeyAnswer(reply.status, None)
    return KeyAnswer(reply.status, reply.body.decode(), reply.headers)


async def _fingerprint(line: str, call: Call) -> str:
    """The SHA-256 of what is requested, byte by byte: a repetition has the same bytes."""
    hashed = hashlib.sha256(line.encode() + b"\n")
    for start in range(0, len(call.body), _SLICE):
        if start:
            await call.next_slice()
        hashed.update(memoryview(call.body)[start : start + _SLICE])
    return hashed.hexdigest()


def _replayed(taken: Taken, key: Key, line: str) -> Reply | None:
    """The stored answer; None if there may be one soon. Raises :class:`Problem` 409 or 422."""
    if taken.fingerprint not in (key.fingerprint, line):
        fault = "Idempotency-Key was already used for a different request"
        raise Problem(422, fault, errors=[{"path": "", "message": fault}])
    answer = taken.answer
    if answer is not None and answer.body is not None:
        return Reply(answer.status, answer.body.encode(), headers={**answer.headers, REPLAYED: "true"})
    if answer is not None:
        secret = "its answer had a secret, or was very large, and is not kept"
        raise Problem(409, f"Request with this Idempotency-Key was carried out before ({answer.status}); {secret}")
    if abs(taken.age) < PATIENCE:
        return None
    raise Problem(
        409,
        "Request with this Idempotency-Key has made its change, or is making it, and its answer is not known:"
        " it is still under way, or was interrupted",
    )
