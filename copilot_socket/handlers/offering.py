"""An idle crawler for a job that is being stored: the statement that stores the job gives it to that crawler."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from copilot_socket.handlers.crawlers import Crawler
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.hand_out import Offer
from copilot_socket.store.turns import Claimed, Wants


class Offers:
    """*idle* finds a crawler that waits for a job with such a command; it is given nothing else meanwhile."""

    def __init__(
        self,
        *,
        idle: Callable[[str], Crawler | None],
        given: Callable[[Sequence[Claimed]], None],
        doubt: Callable[[Wants], None],
    ) -> None:
        self._idle = idle
        self._given = given
        self._doubt = doubt

    @contextmanager
    def offer(self, command: str) -> Iterator[Offer]:
        """See :class:`copilot_socket.store.hand_out.Idle`."""
        crawler = self._idle(command)
        if crawler is None:
            yield Offer()
            return
        offer = Offer(Wants({crawler.key: 1}, (command,)))
        number = crawler.begin()
        crawler.offered = True
        try:
            yield offer
        except DatabaseAway:  # perhaps it was committed all the same
            self._doubt(offer.wants)
            raise
        finally:
            crawler.offered = False
            self._given(offer.jobs)
            crawler.end(number)
