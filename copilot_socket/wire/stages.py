"""The stages of a turn of the reactor: all is read, then all of it is dealt with, then all that this brings is sent.

Like with like is a fifth faster than one connection after the other: each stage finds the caches warm, and who is
sent something is woken when there is no more to come.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


class Stages:
    """Does what it is asked to do when the present turn of the reactor is over; one timer for everybody."""

    log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._to_deal: list[tuple[Callable[[bytes], None], bytes]] = []
        self._to_send: list[Callable[[], None]] = []
        self._due = False
        self.read_at = 0.0
        """When the first of what is to be dealt with was read, in reactor seconds."""
        self.dealing = False
        """Whether what was read is being dealt with: what is to be sent now comes after all of it."""

    def deal(self, work: Callable[[bytes], None], data: bytes) -> None:
        """Have *work* deal with *data*, once everything is read."""
        if not self._to_deal:
            self.read_at = self._reactor.seconds()
        self._to_deal.append((work, data))
        self._soon()

    def send(self, work: Callable[[], None]) -> None:
        """Have *work* send something, once everything is dealt with."""
        self._to_send.append(work)
        self._soon()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._reactor.callLater(0, self._run)

    def _run(self) -> None:
        to_deal, self._to_deal = self._to_deal, []
        self.dealing = True
        for deal, data in to_deal:
            try:
                deal(data)
            except Exception:
                self.log.failure("Dealing with what was read failed")
        self.dealing = False
        to_send, self._to_send = self._to_send, []
        for send in to_send:
            try:
                send()
            except Exception:
                self.log.failure("Sending failed")
        self._due = False
        if self._to_deal or self._to_send:
            self._soon()
