"""For authors of crawlers: clients of the wire protocol (docs/protocol.md).

    from copilot_socket.client import Crawler

    for job in Crawler("/var/run/copilot-study/crawler.sock").jobs():
        with job:
            …

This one blocks (:mod:`copilot_socket.client.sync`). :mod:`copilot_socket.client.asyncio` and
:mod:`copilot_socket.client.twisted` have classes of the same names for programs of these kinds; all of them are thin
shells around one core without I/O, :mod:`copilot_socket.client.session`. docs/client.md describes them.
"""

from copilot_socket.client.addresses import TCP, TLS
from copilot_socket.client.hello import Hello
from copilot_socket.client.job import DiscoveredJob
from copilot_socket.client.problems import JobFailure, JobGone, JobRelease, ReportRefused, TokenRefused
from copilot_socket.client.sync import Crawler, Job

__all__ = [
    "TCP",
    "TLS",
    "Crawler",
    "DiscoveredJob",
    "Hello",
    "Job",
    "JobFailure",
    "JobGone",
    "JobRelease",
    "ReportRefused",
    "TokenRefused",
]
