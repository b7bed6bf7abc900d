"""Request bodies: from bytes to jobs, accounts and credentials, with every fault found at once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

import orjson

from copilot_socket.core.jobs import COMMANDS, WITHOUT_PATH
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
from copilot_socket.http.messages import Call, Fault, Problem, invalid
from copilot_socket.store.accounts import Account, Credential
from copilot_socket.store.submission import NewJob

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


def document(call: Call) -> Any:
    """The JSON value in *call*'s body. Raises :class:`Problem` 415 or 400."""
    media_type = call.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "the body must be application/json", headers={"Accept": "application/json"})
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        fault = str(error)
    try:
        # The stricter parser also refuses lone surrogates; these are JSON, and the field is to be named.
        return json.loads(call.body.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Problem(400, f"the body is not JSON: {fault}") from None


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError(number)
    return value


def nothing(call: Call) -> None:
    """For actions that take no body: none, or an empty object. Raises :class:`Problem`."""
    if call.body:
        faults: list[Fault] = []
        read(document(call), {}, "", faults)
        if faults:
            raise Problem(422, "this takes no body", errors=[{"path": "", "message": "must be empty or {}"}])


def jobs(documents: Sequence[Any], paths: Sequence[str], faults: list[Fault]) -> list[NewJob]:
    """The jobs in *documents*, each with its JSON pointer in *paths*; of a faulty one only *faults* tells."""
    return [job for item, path in zip(documents, paths, strict=True) if (job := _job(item, path, faults)) is not None]


def _job(item: Any, path: str, faults: list[Fault]) -> NewJob | None:
    before = len(faults)
    values = read(item, JOB, path, faults)
    command = values.get("command")
    if command is not None and command not in WITHOUT_PATH and item.get("full_path") is None:
        without = " and ".join(sorted(WITHOUT_PATH))
        faults.append(Fault(f"{path}/full_path", f"is missing: only {without} need none"))
    return cast(NewJob, values) if len(faults) == before else None


def credential(call: Call) -> Credential:
    """The token pair in *call*'s body. Raises :class:`Problem`."""
    faults: list[Fault] = []
    values = read(document(call), CREDENTIAL, "", faults)
    if faults:
        raise invalid(faults)
    return Credential(**values)


def account(call: Call) -> Account:
    """The account that *call* puts. Raises :class:`Problem`."""
    faults: list[Fault] = []
    account_id = call.params["id"]
    try:
        text(255)(account_id)
    except ValueError as error:
        faults.append(Fault("/id", str(error)))
    values = read(document(call), ACCOUNT, "", faults)
    if faults:
        raise invalid(faults)
    pair = Credential(**{name: value for name, value in values.items() if name in CREDENTIAL})
    return Account(account_id, values["provider"], values["gitlab_url"], pair)
