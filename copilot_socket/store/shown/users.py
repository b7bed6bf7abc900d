"""A user's crawl as HTTP shows it."""

from typing import Annotated, Literal

import attrs

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.ends import Cause
from copilot_socket.core.user_crawls import CrawlState


@attrs.frozen(kw_only=True)
class UserAccount:
    """An account with which a user's jobs are crawled."""

    id: Annotated[str, doc("Its id.")]
    gitlab_url: Annotated[str, doc("The address of its GitLab.")]
    credential_status: Annotated[
        Literal["valid", "expired"], doc("`expired`: its jobs wait until the credential is renewed.")
    ]
    token_expires_at: Annotated[Time | None, doc("When the access token expires; null: unknown, or never.")]


@attrs.frozen(kw_only=True)
class UserError:
    """The last failure of an attempt of a user's jobs; of each job the last attempt counts."""

    job_id: Annotated[str, doc("The job.")]
    command: Annotated[str, doc("Its command.")]
    full_path: Annotated[str | None, doc("Its group or project.")]
    cause: Annotated[Cause, doc("Why the attempt ended.")]
    timestamp: Annotated[Time, doc("When, or when the job last changed.")]
    error_type: Annotated[str | None, doc("The crawler's name for the kind of its last error.")]
    error_message: Annotated[str | None, doc("What went wrong: the first 1,000 characters; null: nothing is known.")]


@attrs.frozen(kw_only=True)
class UserCrawl:
    """All that is crawled for a user of the web application."""

    id: Annotated[str, doc("The user: `user_id` of the jobs.")]
    state: Annotated[
        CrawlState,
        doc(
            "`idle`: no jobs. `running`: some are live. `waiting`: all live ones are paused, or wait for a "
            "credential. `done`: none is live. `failed`: none is live, and some have failed."
        ),
    ]
    jobs: Annotated[dict[str, int], doc("The jobs by state, for every state.")]
    total: Annotated[int, doc("The sum of these.")]
    progress: Annotated[float | None, doc("The share of jobs that are over, from 0 to 1; null: there are no jobs.")]
    jobs_read: Annotated[
        int, doc("Of how many jobs, the newest of each state, all that follows is: all, up to 10,000 of a state.")
    ]
    items: Annotated[
        dict[str, int], doc("What was crawled, by entity: the sums of the final counts of the completed jobs.")
    ]
    accounts: Annotated[list[UserAccount], doc("The accounts of the jobs, up to 100.")]
    first_created_at: Annotated[Time | None, doc("When the first job was submitted.")]
    last_created_at: Annotated[Time | None, doc("When the last one was.")]
    first_started_at: Annotated[Time | None, doc("When the first attempt started.")]
    last_finished_at: Annotated[Time | None, doc("When a job last ended.")]
    last_error: Annotated[UserError | None, doc("What last went wrong; null: nothing.")]
