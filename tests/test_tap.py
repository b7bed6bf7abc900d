"""The service that twistd runs."""

import io
import signal
import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.activation import Inherited
from copilot_socket.config import Config, load
from copilot_socket.node import Node
from copilot_socket.tap import Application, Options


class StartTests(SynchronousTestCase):
    """The start of a process."""

    def test_what_nobody_thought_of(self) -> None:
        """An unexpected error is printed in a line, too, and logged with its traceback."""

        def fail(_config: Config) -> Node:
            raise FileNotFoundError("no such thing")

        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        options = Options()
        options.config = load({"HOME": "/home/x"}, {}, {}, uid=1000)
        application = Application(options, Clock(), Inherited())
        self.patch(application, "_node", fail)
        said = io.StringIO()
        self.patch(sys, "__stderr__", said)
        self.assertEqual(self.assertRaises(SystemExit, application.privilegedStartService).code, 1)
        line = "copilot-socket can't start: FileNotFoundError: no such thing (see the log for a traceback)\n"
        self.assertEqual(said.getvalue(), line)
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)
