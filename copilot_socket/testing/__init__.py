"""For tests of crawlers: a server in memory, with the real one's schemas and rules (docs/client.md, "Testing").

from copilot_socket.client import Crawler
from copilot_socket.testing import Server

with Server() as server:
    job = server.add_job("issues", "acme/shop", resume_state={"currentPage": 2})
    server.exit_when_done()
    run_my_crawler(Crawler(server.path))
    assert job.status == "completed" and job.counts == {"issue": 31}
    assert server.errors == []
"""

from copilot_socket.testing.job import Job
from copilot_socket.testing.server import Received, Server

__all__ = ["Job", "Received", "Server"]
