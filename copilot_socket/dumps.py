"""Core dumps, which would hold every token and key that is in memory."""

import resource


def forbid_core_dumps() -> None:
    """Let the kernel dump neither this process nor those that it starts, to a file or to a handler (core(5))."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # Handlers (core_pattern beginning with a pipe) are started whatever the limit is, except with 1 byte, which the
    # kernel reserves for what must not be dumped; and no file is as small. A hard limit of 0 can't be raised.
    limit = 1 if hard == resource.RLIM_INFINITY else min(hard, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
