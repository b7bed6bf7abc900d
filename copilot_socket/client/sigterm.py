"""SIGTERM stops a crawler, unless the program has a handler of its own."""

import signal
import threading
from collections.abc import Callable
from typing import Any


class Sigterm:
    """Calls *stop* at the first SIGTERM, if that would end the process otherwise; a second one does.

    *install* and *remove* set and reset the handler. Only the main thread can; in others nothing is installed.
    """

    def __init__(
        self,
        install: Callable[[int, Callable[..., Any]], object],
        remove: Callable[[int], object],
        stop: Callable[[], Any],
    ) -> None:
        self._remove = remove
        self._stop = stop
        main = threading.current_thread() is threading.main_thread()
        self._installed = main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._installed:
            install(signal.SIGTERM, self._received)

    def _received(self, *_arguments: object) -> None:
        self.restore()
        self._stop()

    def restore(self) -> None:
        """Set the default again. Nothing happens if it has been."""
        if self._installed:
            self._installed = False
            self._remove(signal.SIGTERM)
