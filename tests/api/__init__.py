"""A node under schemathesis: requests made from the API's description, allowed and not (``tox run -e api``)."""

ACCOUNTS = ("acme", "beta")
HOST = "https://gitlab.example"
"""The GitLab of the accounts."""
PATH = "acme/p0"
"""A project there."""
