"""Accounts and areas as HTTP shows them. Never a token."""

from typing import Annotated, Literal

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import Time, doc
from copilot_socket.store.columns import BESIDE, Column
from copilot_socket.store.shown.jobs import Provider


@attrs.frozen(kw_only=True)
class Lane:
    """The live jobs of an account with one command."""

    command: Annotated[str, doc("The command.")]
    queued: Annotated[int, doc("How many are queued.")]
    scheduled: Annotated[int, doc("How many of these are due later.")]
    running: Annotated[int, doc("How many are assigned or running.")]
    waiting_credential: Annotated[int, doc("How many wait for a credential.")]
    held: Annotated[str | None, doc("Why none of them is sent now, in words; null: they have their turns.")]


@attrs.frozen(kw_only=True)
class Account:
    """An account, without its tokens."""

    id: Annotated[str, doc("Its id.")]
    provider: Annotated[Provider, doc("The kind of its GitLab.")]
    gitlab_url: Annotated[str, doc("The address of its GitLab.")]
    weight: Annotated[int, doc("How many jobs a turn of the account takes in dispatch, 1 to 100.")]
    max_running: Annotated[int | None, doc("How many of its jobs may run at a time; null: any number.")]
    has_refresh_token: Annotated[
        bool, Column("refresh_token IS NOT NULL"), doc("Whether the server can renew its access token.")
    ]
    token_expires_at: Annotated[Time | None, doc("When the access token expires; null: unknown, or never.")]
    credential_status: Annotated[
        Literal["valid", "expired"], doc("`expired`: its jobs wait until the credential is renewed.")
    ]
    credential_error: Annotated[str | None, doc("Why the last refresh returned no token.")]
    credential_checked_at: Annotated[Time | None, doc("When that was.")]
    created_at: Annotated[Time, doc("When it was created.")]
    updated_at: Annotated[Time, doc("When it last changed.")]
    jobs: Annotated[dict[str, int] | UnsetType, BESIDE, doc("On request: its jobs by state, for every state.")] = (
        UNSET
    )
    lanes: Annotated[
        list[Lane] | UnsetType, BESIDE, doc("On request: its live jobs by command, and what holds them back.")
    ] = UNSET


@attrs.frozen(kw_only=True)
class Area:
    """A group or project that was discovered."""

    gitlab_origin: Annotated[str, doc("The origin of its GitLab.")]
    full_path: Annotated[str, doc("Its path there.")]
    gitlab_id: Annotated[int | None, doc("Its numeric id there, where known.")]
    name: Annotated[str, doc("Its name.")]
    type: Annotated[Literal["group", "project"], doc("What it is.")]
    created_at: Annotated[Time, doc("When it was discovered.")]
    accounts: Annotated[
        int | UnsetType, BESIDE, doc("On request (`counts`): how many accounts may see it, up to 10,001.")
    ] = UNSET
    jobs: Annotated[
        dict[str, int] | UnsetType,
        BESIDE,
        doc("On request (`counts`): the jobs with its path there, of its newest 10,001, by state, for every state."),
    ] = UNSET
    last_completed: Annotated[
        dict[str, Time] | UnsetType,
        BESIDE,
        doc("On request (`commands`): when a job for it was last completed, by command, as far as jobs are kept."),
    ] = UNSET


@attrs.frozen(kw_only=True)
class AreaDetail(Area):
    """One group or project, with all that is known of its jobs."""

    jobs_by_command: Annotated[
        dict[str, dict[str, int]], BESIDE, doc("The same jobs as `jobs` by command and state, for those with jobs.")
    ]
    account_ids: Annotated[list[str], BESIDE, doc("The first 100 accounts that may see it.")]
