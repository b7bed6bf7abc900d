"""Tests of the clients, whose log lines are not printed."""

import logging

logging.getLogger("copilot_socket.client").addHandler(logging.NullHandler())
