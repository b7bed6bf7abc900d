"""``copilot-socket accounts``: lists accounts, and sets their weight and limit of running jobs."""

from copilot_socket.cli.limits import Listed

_ACCOUNTS = Listed(
    path="/api/v1/accounts",
    plural="accounts",
    id="id",
    example="me",
    columns=("id", "gitlab_url", "weight", "max_running", "credential_status", "token_expires_at"),
    settings=("weight", "max_running"),
    empty="No accounts. First account and jobs: copilot-socket seed",
)
add_arguments = _ACCOUNTS.add_arguments
run = _ACCOUNTS.run
