"""Notifies the service manager of the node's state: ready, alive, reloading, stopping (sd_notify(3)).

Without NOTIFY_SOCKET nothing is sent. Libraries for this are unmaintained or block in ``send``.
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
"""Seconds between status messages."""


class Notifier:
    """Sends messages to the service manager's datagram socket, without blocking."""

    log = Logger()

    def __init__(self, address: str) -> None:
        """*address* as in NOTIFY_SOCKET: a path, or ``@`` and an abstract name; if it is empty, nothing is sent."""
        self._failed = False
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if self._address and self._address[0] not in "/\0":
            self.log.warn("NOTIFY_SOCKET is {address!r}: only UNIX sockets are notified", address=address)
            self._address = ""

    def send(self, **fields: str | int) -> None:
        """Send *fields* in one message. Of consecutive failures only the first is logged."""
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.setblocking(False)
                sending.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._failed:
                self.log.warn(
                    "Can't notify the service manager of {fields}: {error}", fields=list(fields), error=error
                )
            self._failed = True
        else:
            self._failed = False


class Watched(Protocol):
    """The node, as the service manager is notified of it."""

    @property
    def running(self) -> bool:
        """Whether crawlers are served."""

    @property
    def summary(self) -> str:
        """The state in one line for people."""


class ServiceManager(Service):
    """Keeps the service manager, if *environ* names one, informed of the state of *node*.

    Watchdog messages come from the reactor, so a blocked one is detected. They continue while the database is away:
    the node waits for it, and a restart would not help.
    """

    def __init__(self, node: Watched, reactor: IReactorTime, environ: Mapping[str, str]) -> None:
        self._node = node
        self._notifier = Notifier(environ.get("NOTIFY_SOCKET", ""))
        tasks = [Task("status for the service manager", STATUS_INTERVAL, self.notify)]
        timeout = watchdog_timeout(environ)
        if timeout is not None:
            tasks.append(Task("watchdog", timeout / 2, lambda: self._notifier.send(WATCHDOG=1)))
        self._timers = Timers(tasks, reactor)

    def startService(self) -> None:
        """Start to send messages."""
        super().startService()
        self.notify()
        self._timers.start()

    def notify(self) -> None:
        """Send the current state. READY is repeated, which is harmless and replaces a lost message."""
        if self._node.running:
            self._notifier.send(READY=1, STATUS=self._node.summary)
        else:
            self._notifier.send(STATUS=self._node.summary)

    def reloading(self) -> None:
        """Announce a reload, which :meth:`notify` ends."""
        # systemd compares this with CLOCK_MONOTONIC, which the reactor's clock may not be.
        self._notifier.send(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def stopService(self) -> None:
        """Announce the stop. From then on systemd expects no watchdog messages."""
        super().stopService()
        self._timers.stop()
        self._notifier.send(STOPPING=1, STATUS="stopping: everything accepted is committed")


def watchdog_timeout(environ: Mapping[str, str]) -> float | None:
    """Seconds within which the service manager expects a watchdog message; None if it expects none."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        timeout = int(environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return None
    return timeout if timeout > 0 else None
