"""Jobs over HTTP: submit, list, show, cancel, retry."""

import re
from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import DeferredSemaphore

from copilot_socket.core.jobs import COMMANDS, Event, Status
from copilot_socket.core.origins import origin
from copilot_socket.core.transitions import Refusal
from copilot_socket.http import bodies, queries
from copilot_socket.http.fields import Check, one_of, text
from copilot_socket.http.idempotency import to_keep
from copilot_socket.http.messages import Call, Faults, OutOfScope, Problem, Reply, reply
from copilot_socket.http.shares import UNCOUNTED
from copilot_socket.store.catalog import LARGE_JOB_COLUMNS, Catalog
from copilot_socket.store.submission import ForeignOrigins, Submission, Submitted, UnknownAccounts
from copilot_socket.store.transitions import AccountMoved, Answer, Transitions, TwinExists

_ID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")
_NO_JOB = "No such job"

LARGE_SUBMISSIONS = 2
"""Submissions of more than ``UNCOUNTED`` bytes that are processed concurrently; others wait, unparsed.

While it is processed, a job takes up to 1 KiB and its resume state: up to ten times its size in the body.
"""

FILTERS: dict[str, Check] = {
    "status": one_of(*(str(status) for status in Status)),
    "account_id": text(255),
    "command": one_of(*COMMANDS),
    "full_path": text(1024),
}


@attrs.frozen
class JobHandlers:
    """Handles requests under ``/api/v1/jobs``. *work_came* is called with the lanes of new jobs."""

    submission: Submission
    catalog: Catalog
    transitions: Transitions
    work_came: Callable[[Iterable[tuple[str, str]]], None]
    _large: DeferredSemaphore = attrs.field(factory=lambda: DeferredSemaphore(LARGE_SUBMISSIONS), init=False)

    async def submit(self, call: Call) -> Reply:
        """Submit one job or a list of jobs, all or none."""
        queries.read(call, {})
        if len(call.body) <= UNCOUNTED:
            return await self._submit(call)
        await self._large.acquire()
        try:
            await call.next_slice()
            return await self._submit(call)
        finally:
            self._large.release()

    async def _submit(self, call: Call) -> Reply:
        body = await bodies.jobs(call)
        _refuse_foreign(call, body)
        act = call.act("job.submit")
        try:
            submitted = await self.submission.submit(body.jobs, act, lambda given: to_keep(_answer(given, body)))
        except UnknownAccounts as error:
            raise _unknown_accounts(error, body) from None
        except ForeignOrigins as error:
            raise _foreign_origins(error, body) from None
        if any(submitted.created):  # does not wait for the database's notification
            self.work_came({(job["account_id"], job["command"]) for job in body.jobs})
        return _answer(submitted, body)

    async def list(self, call: Call) -> Reply:
        """Jobs, newest first."""
        page, given = queries.listing(call, {**FILTERS, "include": queries.some_of(*LARGE_JOB_COLUMNS)})
        include = given.pop("include", frozenset())
        listing = await self.catalog.jobs(page, given, include, call.within)
        return reply({"jobs": listing.rows, "next": listing.next})

    async def show(self, call: Call) -> Reply:
        """One job with its assignment, attempts and errors."""
        queries.read(call, {})
        job = await self.catalog.job(await self._job_id(call))
        if job is None:
            raise _no_job()
        return reply(job)

    async def why(self, call: Call) -> Reply:
        """Why a job is in its state, or does not run."""
        queries.read(call, {})
        why = await self.catalog.why(await self._job_id(call))
        if why is None:
            raise _no_job()
        return reply(why)

    async def cancel(self, call: Call) -> Reply:
        """End a job that is not in a terminal state."""
        return await self._change(call, Event.CANCELLED, "job.cancel")

    async def retry(self, call: Call) -> Reply:
        """Queue a failed or cancelled job again."""
        return await self._change(call, Event.RETRIED, "job.retry")

    async def pause(self, call: Call) -> Reply:
        """Pause a job: 202 where its crawler is asked to give it back first."""
        queries.read(call, {})
        await bodies.no_body(call)
        job_id = await self._job_id(call)
        status = _status(await self.transitions.pause(job_id, call.act("job.pause")))
        paused = status == Status.PAUSED
        return reply({"id": job_id, "status": status, "pausing": not paused}, 200 if paused else 202)

    async def resume(self, call: Call) -> Reply:
        """Queue a paused job again."""
        queries.read(call, {})
        await bodies.no_body(call)
        job_id = await self._job_id(call)
        try:
            answer = await self.transitions.resume(job_id, call.act("job.resume"))
        except TwinExists as error:
            raise Problem(409, str(error), twin=error.twin) from None
        return reply({"id": job_id, "status": _status(answer)})

    async def _change(self, call: Call, event: Event, action: str) -> Reply:
        queries.read(call, {})
        await bodies.no_body(call)
        job_id = await self._job_id(call)
        try:
            answer = (await self.transitions.apply([job_id], event, act=call.act(action)))[job_id]
        except TwinExists as error:
            raise Problem(409, str(error), twin=error.twin) from None
        except AccountMoved as error:
            raise Problem(409, str(error)) from None
        return reply({"id": job_id, "status": _status(answer)})

    async def _job_id(self, call: Call) -> str:
        """The id in the path. Raises :class:`Problem` 404, also for a job that is not within the actor's limits."""
        job_id, within = call.params["id"], call.within
        if not _ID.fullmatch(job_id):
            raise _no_job()
        if within is not None and not await self.catalog.covers_job(within, job_id):
            raise OutOfScope(404, _NO_JOB)  # as if there were none
        return job_id


def _answer(submitted: Submitted, body: bodies.Jobs) -> Reply:
    single = {} if body.is_list else {"id": submitted.ids[0]}
    document = {**single, "ids": submitted.ids, "created": submitted.created}
    return attrs.evolve(reply(document, 201 if any(submitted.created) else 200), kept=True)


def _status(answer: Answer) -> str:
    """The new state. Raises the :class:`Problem` for a job that there is not, or that does not allow the change."""
    if answer is None:
        raise _no_job()
    if isinstance(answer, Refusal):
        raise Problem(409, str(answer), state=str(answer.status))
    return str(answer.status)


def _unknown_accounts(error: UnknownAccounts, body: bodies.Jobs) -> Problem:
    faults = Faults()
    for number, job in enumerate(body.jobs):
        if job["account_id"] in error.accounts:
            faults.add(f"{body.path(number)}/account_id", f"no such account: {job['account_id']!r}")
    return faults.problem()


def _refuse_foreign(call: Call, body: bodies.Jobs) -> None:
    within, faults = call.within, Faults()
    if within is None:
        return
    for number, job in enumerate(body.jobs):
        if not within.covers_job(job["account_id"], job.get("user_id")):
            faults.add(body.path(number), "account_id or user_id is not one of those that the token is limited to")
    if faults.count:
        raise OutOfScope(
            403, "Access token is limited to certain accounts or users", errors=faults.problem().members["errors"]
        )


def _foreign_origins(error: ForeignOrigins, body: bodies.Jobs) -> Problem:
    faults = Faults()
    for number, allowed in error.allowed.items():
        given = origin(body.jobs[number]["gitlab_url"])
        message = f"must be a URL of {allowed}, the origin of the job's account, or left out; got {given}"
        faults.add(f"{body.path(number)}/gitlab_url", message)
    return faults.problem()


def _no_job() -> Problem:
    return Problem(404, _NO_JOB)
