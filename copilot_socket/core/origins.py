"""Where a token may be sent: the origin of a GitLab's URL, and its token endpoint."""

import re

# Also in SQL, as copilot_origin(); a test compares the two. So strict that no parser can read another host in it.
_URL = re.compile(
    r"(https?)://([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/[!\"$->@-\[\]-~]*)?", re.ASCII
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_API_PATHS = ("/api/v4", "/api/graphql")


def origin(url: str) -> str | None:
    """``scheme://host`` of *url* in lower case, with the port unless it is the scheme's default.

    None unless *url* is an http or https URL with a host, or if it has a user name, query, fragment or backslash.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme, host, port = found.groups()
    if port is None or int(port) == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host.lower()}"
    return f"{scheme}://{host.lower()}:{int(port)}" if 0 < int(port) < 65536 else None


def same_origin(one: str, other: str) -> bool:
    """Whether URLs *one* and *other* have the same origin, or are equal."""
    return one == other or (origin(one) is not None and origin(one) == origin(other))


def token_endpoint(gitlab_url: str) -> str:
    """The OAuth token endpoint of the GitLab at *gitlab_url*, which may be the URL of its API."""
    base = gitlab_url.rstrip("/")
    for path in _API_PATHS:
        base = base.removesuffix(path)
    return base.rstrip("/") + "/oauth/token"
