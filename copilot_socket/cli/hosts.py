"""``copilot-socket hosts``: lists GitLab hosts, and sets their limit of running jobs."""

from copilot_socket.cli.limits import Listed

_HOSTS = Listed(
    path="/api/v1/hosts",
    plural="hosts",
    id="origin",
    example="https://gitlab.example.com",
    columns=("origin", "accounts", "max_running", "held_since", "next_probe_at", "last_success_at"),
    settings=("max_running",),
    empty="No hosts: there are no accounts yet",
)
add_arguments = _HOSTS.add_arguments
run = _HOSTS.run
