"""Who runs a command that changes the database itself."""

import os
import pwd
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import CLI, Act
from copilot_socket.core.printing import printable

_LONGEST = 255


def act(action: str, details: Mapping[str, Any] = MappingProxyType({})) -> Act:
    """What the user of this process does, for ``audit_log``.

    Its actor is ``cli:alice(1000)``, its address the name of this machine; *details* tell who has used sudo.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # in a container, often
        name = "?"
    if sudo := os.environ.get("SUDO_USER"):
        details = {**details, "sudo_user": printable(sudo)[:_LONGEST]}
    return Act(CLI, Actor(f"{CLI}:{name}({uid})", printable(socket.gethostname())), action, details=details)
