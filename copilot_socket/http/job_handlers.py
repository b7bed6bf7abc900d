"""Jobs over HTTP: submit, list, show, cancel, retry."""

from collections.abc import Callable, Iterable
from typing import Annotated

import attrs
from msgspec import UNSET, UnsetType
from twisted.internet.defer import DeferredSemaphore

from copilot_socket.core.describing import doc
from copilot_socket.core.jobs import TERMINAL, Event, Status
from copilot_socket.core.origins import origin
from copilot_socket.core.transitions import Refusal
from copilot_socket.http import bodies
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.endings import Endings
from copilot_socket.http.endpoints import Reads, endpoint
from copilot_socket.http.idempotency import to_keep
from copilot_socket.http.job_queries import JobQuery, WaitQuery, id_of_a_job
from copilot_socket.http.messages import Call, Faults, OutOfScope, Problem, Reply, reply
from copilot_socket.http.shares import UNCOUNTED
from copilot_socket.store import submission
from copilot_socket.store.bulk import BulkOperations
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.job_filters import JobFilter
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.shown.jobs import Job, JobDetail
from copilot_socket.store.submission import MAX_JOBS, ForeignOrigins, Submission, UnknownAccounts
from copilot_socket.store.transitions import AccountMoved, Answer, Transitions, TwinExists

_NO_JOB = "No such job"

LARGE_SUBMISSIONS = 2
"""Submissions of more than ``UNCOUNTED`` bytes that are processed concurrently; others wait, unparsed.

While it is processed, a job takes up to 1 KiB and its resume state: up to ten times its size in the body.
"""


@attrs.frozen(kw_only=True)
class Submitted:
    """The ids of submitted jobs, new or not."""

    id: Annotated[str | UnsetType, doc("That of a single job that was not submitted as a list.")] = UNSET
    ids: Annotated[list[str], doc("In the order of the list.")]
    created: Annotated[list[bool], doc("Whether each is new, or else a live job with the same work.")]


@attrs.frozen(kw_only=True)
class ChangedJob:
    """A job after a change."""

    id: Annotated[str, doc("Its id.")]
    status: Annotated[Status, doc("Its state now.")]


@attrs.frozen(kw_only=True)
class PausedJob(ChangedJob):
    """A job that is paused, or is to be."""

    pausing: Annotated[bool, doc("Whether its crawler is to give it back first, within 10 s.")]


@attrs.frozen(kw_only=True)
class WhyReason:
    """A reason. Others of its fields depend on the code."""

    code: Annotated[str, doc("The kind of reason.")]
    text: Annotated[str, doc("The reason, as a clause.")]


@attrs.frozen(kw_only=True)
class Why:
    """Why a job is in its state, or does not run."""

    id: Annotated[str, doc("The job.")]
    status: Annotated[Status, doc("Its state.")]
    sentence: Annotated[str, doc("All of it, for people.")]
    reasons: Annotated[list[WhyReason], doc("Those that hold, the weightiest first.")]


@attrs.frozen(kw_only=True)
class DeletedJob:
    """A job that is deleted."""

    id: Annotated[str, doc("Its former id.")]
    deleted: Annotated[bool, doc("Always true.")]


JobList = list_of("jobs", Job)


@attrs.frozen
class JobHandlers:
    """Handles requests under ``/api/v1/jobs``. *work_came* is called with the lanes of new jobs."""

    submission: Submission
    catalog: Catalog
    jobs: JobLists
    transitions: Transitions
    bulk: BulkOperations
    endings: Endings
    work_came: Callable[[Iterable[tuple[str, str]]], None]
    _large: DeferredSemaphore = attrs.field(factory=lambda: DeferredSemaphore(LARGE_SUBMISSIONS), init=False)

    @endpoint({200: Submitted, 201: Submitted}, reads=Reads(bodies.JobBody, MAX_JOBS))
    async def submit_jobs(self, call: Call) -> Reply:
        """Submit one job or a list of jobs, all or none.

        201, or 200 where nothing is new: a live job of the same account, command, path and branch is not added again.
        """
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

    @endpoint({200: JobList})
    async def list_jobs(self, call: Call, query: JobQuery) -> Reply:
        """Jobs that meet all the filters, by default the newest first."""
        which = JobFilter(query.given, call.within)
        order, descending = query.ordered
        listing = await self.jobs.page(query.page, which, order, descending=descending, include=query.include)
        return page("jobs", listing)

    @endpoint({200: JobDetail})
    async def show_job(self, call: Call, query: WaitQuery) -> Reply:
        """One job with its assignment, attempts and errors.

        With `wait` the answer comes when the job is over, or after so many seconds.
        """
        job_id = await self._job_id(call)
        if query.wait:
            await self.endings.wait(job_id, query.wait, call.next_slice)
        job = await self.catalog.job(job_id)
        if job is None:
            raise _no_job()
        return reply(job)

    @endpoint({200: Why})
    async def explain_job(self, call: Call) -> Reply:
        """Why a job is in its state, or does not run."""
        why = await self.catalog.why(await self._job_id(call))
        if why is None:
            raise _no_job()
        return reply(why)

    @endpoint({200: DeletedJob}, problems=(409,))
    async def delete_job(self, call: Call) -> Reply:
        """Delete a job that is completed, failed or cancelled. Jobs that it has spawned stay."""
        job_id = await self._job_id(call)
        status = await self.bulk.delete(job_id, call.act("job.delete"))
        if status is None:
            raise _no_job()
        if status not in TERMINAL:
            raise Problem(409, f"a job that is {status} can't be deleted; cancel it first", state=str(status))
        return reply({"id": job_id, "deleted": True})

    @endpoint({200: ChangedJob}, problems=(409,))
    async def cancel_job(self, call: Call) -> Reply:
        """End a job that is not in a terminal state."""
        return await self._change(call, Event.CANCELLED, "job.cancel")

    @endpoint({200: ChangedJob}, problems=(409,))
    async def retry_job(self, call: Call) -> Reply:
        """Queue a failed or cancelled job again."""
        return await self._change(call, Event.RETRIED, "job.retry")

    @endpoint({200: PausedJob, 202: PausedJob}, problems=(409,))
    async def pause_job(self, call: Call) -> Reply:
        """Pause a job: 202 where its crawler is asked to give it back first."""
        job_id = await self._job_id(call)
        status = _status(await self.transitions.pause(job_id, call.act("job.pause")))
        paused = status == Status.PAUSED
        return reply({"id": job_id, "status": status, "pausing": not paused}, 200 if paused else 202)

    @endpoint({200: ChangedJob}, problems=(409,))
    async def resume_job(self, call: Call) -> Reply:
        """Queue a paused job again."""
        job_id = await self._job_id(call)
        answer = await self.transitions.resume(job_id, call.act("job.resume"))
        return reply({"id": job_id, "status": _status(answer)})

    async def _change(self, call: Call, event: Event, action: str) -> Reply:
        job_id = await self._job_id(call)
        answer = (await self.transitions.apply([job_id], event, act=call.act(action)))[job_id]
        return reply({"id": job_id, "status": _status(answer)})

    async def _job_id(self, call: Call) -> str:
        """The id in the path. Raises :class:`Problem` 404, also for a job that is not within the actor's limits."""
        job_id, within = call.named(id_of_a_job, _no_job()), call.within
        if within is not None and not await self.catalog.covers_job(within, job_id):
            raise OutOfScope(404, _NO_JOB)  # as if there were none
        return job_id


def _answer(submitted: submission.Submitted, body: bodies.Jobs) -> Reply:
    single = {} if body.is_list else {"id": submitted.ids[0]}
    document = {**single, "ids": submitted.ids, "created": submitted.created}
    return attrs.evolve(reply(document, 201 if any(submitted.created) else 200), kept=True)


def _status(answer: Answer) -> str:
    """The new state. Raises the :class:`Problem` for a job that there is not, or that does not allow the change."""
    if answer is None:
        raise _no_job()
    if isinstance(answer, Refusal):
        raise Problem(409, str(answer), state=str(answer.status))
    if isinstance(answer, TwinExists):
        raise Problem(409, str(answer), twin=answer.twin)
    if isinstance(answer, AccountMoved):
        raise Problem(409, str(answer))
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
