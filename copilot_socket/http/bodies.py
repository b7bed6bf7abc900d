"""Request bodies: from JSON to jobs, accounts and credentials, with all faults reported together."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import attrs

from copilot_socket.core.jobs import COMMANDS, WITHOUT_PATH
from copilot_socket.http.documents import Document
from copilot_socket.http.fields import (
    PROVIDERS,
    Field,
    integer,
    json_object,
    one_of,
    read,
    text,
    timestamp,
    token,
    url,
)
from copilot_socket.http.messages import Call, Faults, Problem, invalid
from copilot_socket.store.accounts import Account, Credential
from copilot_socket.store.submission import MAX_JOBS, NewJob

JOB: Mapping[str, Field] = {
    "account_id": Field(text(255), required=True),
    "command": Field(one_of(*COMMANDS), required=True),
    "full_path": Field(text(1024)),
    "branch": Field(text(1024)),
    "user_id": Field(text(255)),
    "gitlab_url": Field(url),
    "priority": Field(integer(-(2**31), 2**31 - 1)),
    "scheduled_at": Field(timestamp),
    "max_attempts": Field(integer(1, 100)),
    "resume_state": Field(json_object),
}

CREDENTIAL: Mapping[str, Field] = {
    "access_token": Field(token, required=True),
    "refresh_token": Field(token),
    "token_expires_at": Field(timestamp),
}

ACCOUNT: Mapping[str, Field] = {
    "provider": Field(one_of(*PROVIDERS), required=True),
    "gitlab_url": Field(url, required=True),
    **CREDENTIAL,
}


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
    values = read(item, JOB, path, faults)
    command = values.get("command")
    if command is not None and command not in WITHOUT_PATH and item.get("full_path") is None:
        faults.add(f"{path}/full_path", f"is required, except for {' and '.join(sorted(WITHOUT_PATH))}")
    return cast(NewJob, values) if faults.count == before else None


async def credential(call: Call) -> Credential:
    """The token pair in *call*'s body. Raises :class:`Problem` 400, 413, 415 or 422."""
    return Credential(**await read_object(call, CREDENTIAL))


async def read_object(call: Call, fields: Mapping[str, Field], *, optional: bool = False) -> dict[str, Any]:
    """The *fields* of the object in *call*'s body. Raises :class:`Problem` 400, 413, 415 or 422.

    *optional*: no body counts as an empty object.
    """
    if optional and not call.body:
        return {}
    faults = Faults()
    values = read(await _single(call), fields, "", faults)
    if faults.count:
        raise faults.problem()
    return values


async def account(call: Call) -> Account:
    """The account in *call*'s path and body. Raises :class:`Problem` 400, 413, 415 or 422."""
    faults = Faults()
    account_id = call.params["id"]
    try:
        text(255)(account_id)
    except ValueError as error:
        faults.add("/id", str(error))
    values = read(await _single(call), ACCOUNT, "", faults)
    if faults.count:
        raise faults.problem()
    pair = Credential(**{name: value for name, value in values.items() if name in CREDENTIAL})
    return Account(account_id, values["provider"], values["gitlab_url"], pair)


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
