"""Tells the service manager how the node is: ready, alive, reloading, stopping (sd_notify(3)).

Not a word is said where no NOTIFY_SOCKET is set. Libraries for this are either no longer kept or block in ``send``.
"""

import os
import socket
import time
from collections.abc import Mapping
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.timers import Task, Timers

STATUS_INTERVAL = 5.0
"""Seconds between two messages that say how things are."""


class Notifier:
    """Sends single messages to the service manager's datagram socket; never waits for it."""

    log = Logger()

    def __init__(self, address: str) -> None:
        """*address* as in NOTIFY_SOCKET: a path, or ``@`` and an abstract name; nothing is sent if it is empty."""
        self._failed = False
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if self._address and self._address[0] not in "/\0":
            self.log.warn("NOTIFY_SOCKET is {address!r}: only UNIX sockets are notified", address=address)
            self._address = ""

    def tell(self, **fields: str | int) -> None:
        """Send *fields* in one message. Of failures in a row only the first is logged; the next may get through."""
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.setblocking(False)
                sending.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._failed:
                self.log.warn("The service manager can't be told {fields}: {error}", fields=list(fields), error=error)
            self._failed = True
        else:
            self._failed = False


class Watched(Protocol):
    """What is told about."""

    @property
    def running(self) -> bool:
        """Whether crawlers are served."""

    @property
    def summary(self) -> str:
        """How things are, in one line for people."""


class ServiceManager(Service):
    """Keeps the service manager that *environ* tells of up to date about *node*.

    The watchdog is fed from the reactor, so one that stands still is noticed. A database that is away is no reason
    to withhold it: the node waits for it, and a restart would not bring it back.
    """

    def __init__(self, node: Watched, reactor: IReactorTime, environ: Mapping[str, str]) -> None:
        self._node = node
        self._notifier = Notifier(environ.get("NOTIFY_SOCKET", ""))
        tasks = [Task("status for the service manager", STATUS_INTERVAL, self.tell)]
        timeout = watchdog_timeout(environ)
        if timeout is not None:
            tasks.append(Task("watchdog", timeout / 2, lambda: self._notifier.tell(WATCHDOG=1)))
        self._timers = Timers(tasks, reactor)

    def startService(self) -> None:
        """Begin to tell."""
        super().startService()
        self.tell()
        self._timers.start()

    def tell(self) -> None:
        """Say how things are. That the node is ready is repeated, which is harmless and mends a lost message."""
        if self._node.running:
            self._notifier.tell(READY=1, STATUS=self._node.summary)
        else:
            self._notifier.tell(STATUS=self._node.summary)

    def reloading(self) -> None:
        """Say that a reload begins; :meth:`tell` ends it."""
        # systemd compares this with CLOCK_MONOTONIC, whatever the reactor's clock is.
        self._notifier.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def stopService(self) -> None:
        """Say that the node stops. systemd waits for no sign of life from then on, only for the end."""
        super().stopService()
        self._timers.stop()
        self._notifier.tell(STOPPING=1, STATUS="stopping: what was accepted is still committed")


def watchdog_timeout(environ: Mapping[str, str]) -> float | None:
    """Seconds within which the service manager wants a sign of life; None if it wants none from this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        timeout = int(environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return None
    return timeout if timeout > 0 else None
