"""Request bodies: from JSON to jobs, accounts and credentials, with all faults reported together.

:func:`read` makes an instance of a class whose attributes are as in :mod:`copilot_socket.http.fields`.
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar, cast

import attrs

from copilot_socket.core.describing import doc
from copilot_socket.core.jobs import COMMANDS, WITHOUT_PATH
from copilot_socket.http import fields
from copilot_socket.http.checks import (
    PROVIDERS,
    integer,
    json_object,
    one_of,
    short_name,
    text,
    timestamp,
    token,
    url,
)
from copilot_socket.http.documents import Document
from copilot_socket.http.messages import Call, Faults, Problem, invalid
from copilot_socket.store.accounts import Credential
from copilot_socket.store.submission import MAX_JOBS, NewJob

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class JobBody:
    """A job to submit."""

    account_id: Annotated[str, text(255), doc("The account whose token is used; it exists.")]
    command: Annotated[str, one_of(*COMMANDS), doc("What to crawl.")]
    full_path: Annotated[
        str | None,
        text(1024),
        doc(f"The group or project. Required, except for {' and '.join(sorted(WITHOUT_PATH))}."),
    ] = None
    branch: Annotated[str | None, text(1024), doc("The branch, where the command is about one.")] = None
    user_id: Annotated[str | None, short_name, doc("The user of the web application for whom it is.")] = None
    gitlab_url: Annotated[
        str | None, url, doc("The GitLab, of the same origin as the account's; without it that of the account.")
    ] = None
    priority: Annotated[int | None, integer(-(2**31), 2**31 - 1), doc("Higher first; without it 0.")] = None
    scheduled_at: Annotated[str | None, timestamp, doc("When it falls due; without it now.")] = None
    max_attempts: Annotated[
        int | None, integer(1, 100), doc("Attempts in all; without it `SOCKET_RETRY_ATTEMPTS`.")
    ] = None
    resume_state: Annotated[dict[str, Any] | None, json_object, doc("Where the crawler is to begin.")] = None


@attrs.frozen(kw_only=True)
class CredentialBody:
    """A token pair. What is left out is removed."""

    access_token: Annotated[str, token, doc("A token with the right to read the API.")] = attrs.field(repr=False)
    refresh_token: Annotated[str | None, token, doc("Renews the access token; without it the account has none.")] = (
        attrs.field(default=None, repr=False)
    )
    token_expires_at: Annotated[str | None, timestamp, doc("When the access token expires.")] = None

    @property
    def credential(self) -> Credential:
        """The pair."""
        return Credential(self.access_token, self.refresh_token, self.token_expires_at)


@attrs.frozen(kw_only=True)
class AccountBody(CredentialBody):
    """An account as a whole."""

    provider: Annotated[str, one_of(*PROVIDERS), doc("The kind of its GitLab.")]
    gitlab_url: Annotated[str, url, doc("The address of its GitLab, the only one that is sent its tokens.")]


JOB = fields.fields_of(JobBody)


@attrs.frozen
class Jobs:
    """The jobs of a request body; ``is_list``: whether they came as a list."""

    jobs: list[NewJob]
    is_list: bool

    def path(self, number: int) -> str:
        """The JSON pointer to the job with index *number*."""
        return f"/{number}" if self.is_list else ""


async def jobs(call: Call) -> Jobs:
    """The job or jobs in *call*'s body, read in slices. Raises :class:`Problem` 400, 413, 415 or 422."""
    document = _document(call)
    faults = Faults()
    found: list[NewJob] = []
    seen = 0
    async for item in document:
        if seen == MAX_JOBS:
            raise invalid("", f"must contain at most {MAX_JOBS} jobs")
        job = _job(item, f"/{seen}" if document.is_list else "", faults)
        if job is not None:
            found.append(job)
        seen += 1
        del item  # frees it before the next slice, which waits for other requests
    if faults.count:
        raise faults.problem()
    return Jobs(found, document.is_list)


def _job(item: Any, path: str, faults: Faults) -> NewJob | None:
    before = faults.count
    values = fields.read(item, JOB, path, faults)
    command = values.get("command")
    if command is not None and command not in WITHOUT_PATH and item.get("full_path") is None:
        faults.add(f"{path}/full_path", f"is required, except for {' and '.join(sorted(WITHOUT_PATH))}")
    return cast(NewJob, values) if faults.count == before else None


async def read(call: Call, cls: type[T]) -> T:
    """The object in *call*'s body as an instance of *cls*. Raises :class:`Problem` 400, 413, 415 or 422.

    Where no field is required, no body counts as an empty object.
    """
    wanted = fields.fields_of(cls)
    if not call.body and not any(field.required for field in wanted.values()):
        return cls()
    faults = Faults()
    values = fields.read(await _single(call), wanted, "", faults)
    if faults.count:
        raise faults.problem()
    return cls(**values)


async def no_body(call: Call) -> None:
    """Accept no body, or an empty object, for actions without parameters. Raises :class:`Problem`."""
    if call.body and await _single(call) != {}:
        raise invalid("", "must be empty or {}")


def refuse_past(given: str | None, path: str, now: float) -> None:
    """Refuse a time *given* at *path* that is not after *now*, in seconds since 1970. Raises :class:`Problem` 422."""
    if given is not None and datetime.fromisoformat(given).timestamp() <= now:
        raise invalid(path, "must lie in the future")


async def _single(call: Call) -> Any:
    """The body's JSON value; for a list, an empty one in its place, which no check accepts."""
    document = _document(call)
    single: Any = []
    async for value in document:
        if document.is_list:
            break
        single = value
    return single


def _document(call: Call) -> Document:
    """The JSON in *call*'s body. Raises :class:`Problem` 415; iterating raises 400 or 413."""
    media_type = call.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "Content-Type must be application/json", headers={"Accept": "application/json"})
    return Document(call.body, call.next_slice)
