"""Jobs over HTTP: put in, look at, cancel, retry."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import orjson
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from copilot_socket.core.jobs import COMMANDS, Event, Refusal, Status
from copilot_socket.core.origins import origin
from copilot_socket.http import bodies, queries
from copilot_socket.http.fields import one_of, text
from copilot_socket.http.messages import Call, Fault, Problem, Reply, invalid, reply
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.submission import (
    MAX_JOBS,
    ForeignOrigins,
    Key,
    KeyReused,
    NewJob,
    Submission,
    UnknownAccounts,
)
from copilot_socket.store.transitions import AccountMoved, Transitions, TwinExists

SLICE = 250
"""So many jobs are validated before the reactor gets its turn: a few milliseconds."""

_ID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")
_KEY = re.compile("[ -~]{1,255}")

FILTERS = {
    "status": one_of(*(str(status) for status in Status)),
    "account_id": text(255),
    "command": one_of(*COMMANDS),
    "full_path": text(1024),
}


@attrs.frozen
class JobHandlers:
    """Answers under ``/api/v1/jobs``. *wake* is called when there may be something new to hand out."""

    submission: Submission
    catalog: Catalog
    transitions: Transitions
    clock: IReactorTime
    wake: Callable[[], None]

    async def submit(self, call: Call) -> Reply:
        """One job or a list of them, all or nothing."""
        queries.read(call, {})
        document = bodies.document(call)
        documents, paths = _numbered(document)
        key = _key(call, document)
        jobs = await self._jobs(documents, paths)
        try:
            submitted = await self.submission.submit(jobs, key)
        except UnknownAccounts as error:
            raise invalid(_unknown(error, documents, paths)) from None
        except ForeignOrigins as error:
            raise invalid(_foreign(error, jobs, paths)) from None
        except KeyReused:
            fault = "this Idempotency-Key came with another body before"
            raise Problem(422, fault, errors=[{"path": "", "message": fault}]) from None
        anything_new = any(submitted.created)
        if anything_new and not submitted.handed_out:
            self.wake()
        single = {} if isinstance(document, list) else {"id": submitted.ids[0]}
        answer = {**single, "ids": submitted.ids, "created": submitted.created}
        return reply(answer, 201 if anything_new else 200)

    async def _jobs(self, documents: list[Any], paths: list[str]) -> list[NewJob]:
        faults: list[Fault] = []
        jobs: list[NewJob] = []
        for start in range(0, len(documents), SLICE):
            if start:
                await deferLater(self.clock, 0)
            jobs += bodies.jobs(documents[start : start + SLICE], paths[start : start + SLICE], faults)
        if faults:
            raise invalid(faults)
        return jobs

    async def list(self, call: Call) -> Reply:
        """Jobs, newest first."""
        page, filters = queries.listing(call, FILTERS)
        listing = await self.catalog.jobs(page, filters)
        return reply({"jobs": listing.rows, "next": listing.next})

    async def show(self, call: Call) -> Reply:
        """One job with its assignment, tries and errors."""
        queries.read(call, {})
        job = await self.catalog.job(_job_id(call))
        if job is None:
            raise _no_job()
        return reply(job)

    async def cancel(self, call: Call) -> Reply:
        """End a job that is not over."""
        return await self._change(call, Event.CANCELLED)

    async def retry(self, call: Call) -> Reply:
        """Queue a failed or cancelled job again."""
        answer = await self._change(call, Event.RETRIED)
        self.wake()
        return answer

    async def _change(self, call: Call, event: Event) -> Reply:
        queries.read(call, {})
        bodies.nothing(call)
        job_id = _job_id(call)
        try:
            answer = (await self.transitions.apply([job_id], event))[job_id]
        except TwinExists as error:
            raise Problem(409, str(error), twin=error.twin) from None
        except AccountMoved as error:
            raise Problem(409, str(error)) from None
        if answer is None:
            raise _no_job()
        if isinstance(answer, Refusal):
            raise Problem(409, str(answer), state=str(answer.status))
        return reply({"id": job_id, "status": str(answer.status)})


def _numbered(document: Any) -> tuple[list[Any], list[str]]:
    """The job or jobs in *document*, each with its JSON pointer."""
    if not isinstance(document, list):
        return [document], [""]
    if len(document) > MAX_JOBS:
        raise invalid([Fault("", f"has {len(document)} jobs: at most {MAX_JOBS} may come at once")])
    return document, [f"/{index}" for index in range(len(document))]


def _key(call: Call, document: Any) -> Key | None:
    name = call.headers.get("idempotency-key")
    if name is None:
        return None
    if not _KEY.fullmatch(name):
        raise Problem(422, "an Idempotency-Key has 1 to 255 printable ASCII characters", errors=[])
    return Key(name, hashlib.sha256(_canonical(document)).hexdigest())


def _canonical(document: Any) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except (TypeError, RecursionError):
        # Holds what no job may hold: validation is about to say so.
        return b""


def _unknown(error: UnknownAccounts, documents: list[Any], paths: list[str]) -> list[Fault]:
    return [
        Fault(f"{path}/account_id", f"there is no account {item['account_id']!r}")
        for item, path in zip(documents, paths, strict=True)
        if item["account_id"] in error.accounts
    ]


def _foreign(error: ForeignOrigins, jobs: Sequence[NewJob], paths: list[str]) -> list[Fault]:
    return [
        Fault(
            f"{paths[index]}/gitlab_url",
            f"is at {origin(jobs[index]['gitlab_url'])}: must be at {allowed}, like its account's, or left out",
        )
        for index, allowed in error.allowed.items()
    ]


def _job_id(call: Call) -> str:
    if not _ID.fullmatch(call.params["id"]):
        raise _no_job()
    return call.params["id"]


def _no_job() -> Problem:
    return Problem(404, "there is no such job")
