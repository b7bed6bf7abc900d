"""The reactor's clock, when the time of day is set."""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

# The time of day is set by so many seconds once the reactor runs. A reactor that goes by it fires the second call as
# well, or neither: then a thread ends the process, by a clock of its own.
SCRIPT = """
import os, sys, threading, time
real, set_by = time.time, [0.0]
time.time = lambda: real() + set_by[0]
from twisted.application.reactors import installReactor
reactor = installReactor(sys.argv[1])
from copilot_socket.clock import make_steady
make_steady(reactor)
fired = []
reactor.callLater(0.3, lambda: (fired.append("soon"), reactor.stop()))
reactor.callLater(1800.0, fired.append, "late")
reactor.callWhenRunning(set_by.__setitem__, 0, float(sys.argv[2]))
end = threading.Timer(20.0, os._exit, [9])
end.daemon = True
end.start()
reactor.run()
print(fired)
"""


class ClockTests(SynchronousTestCase):
    """Reactors of every kind that twistd offers here, each in a process of its own."""

    def _fired(self, reactor: str, set_by: float) -> str:
        arguments = [sys.executable, "-c", SCRIPT, reactor, str(set_by)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_set_back_and_forward(self) -> None:
        """A call fires after its delay, whatever the time of day is set to meanwhile."""
        for reactor in ("epoll", "poll", "select", "asyncio"):
            for set_by in (-3600.0, 3600.0):
                self.assertEqual(self._fired(reactor, set_by), "['soon']", f"{reactor}, set by {set_by:g} s")
