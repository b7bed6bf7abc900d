"""The stages of a turn of the reactor: all is read, then all of it is dealt with, then all that this brings is sent.

Like with like is a fifth faster than one connection after the other: each stage finds the caches warm, and who is
sent something is woken when there is no more to come. What takes long is done beside that, a slice a turn.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

SLICE = 0.01
"""Seconds of a turn for what takes long."""


class Stages:
    """Does what it is asked to do when the present turn of the reactor is over; one timer for everybody."""

    log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._to_deal: list[tuple[Callable[[bytes], None], bytes]] = []
        self._to_send: list[Callable[[], None]] = []
        self._slow: deque[Callable[[], bool]] = deque()
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

    def slowly(self, step: Callable[[], bool]) -> None:
        """Have *step* called again and again, in as many turns as it takes, until it returns False.

        A call should take no more than some milliseconds. A turn has one slice of time for one of those who ask, in
        turns, after it has dealt with everybody else.
        """
        self._slow.append(step)
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
        if self._slow:
            self._slice()
        self.dealing = False
        to_send, self._to_send = self._to_send, []
        for send in to_send:
            try:
                send()
            except Exception:
                self.log.failure("Sending failed")
        self._due = False
        if self._to_deal or self._to_send or self._slow:
            self._soon()

    def _slice(self) -> None:
        """Do what there is time for of one of the slow works."""
        step, until = self._slow.popleft(), self._reactor.seconds() + SLICE
        try:
            more = step()
            while more and self._reactor.seconds() < until:
                more = step()
        except Exception:
            self.log.failure("A slow work failed, and is given up")
            return
        if more:
            self._slow.append(step)
