"""Assertions that hold after any crash, and settings with short times."""

from typing import Any

from tests.support.crawler import TestCrawler
from tests.support.load import Load
from tests.support.server import NodeTestCase

SHORT = {
    "SOCKET_LEASE": "900",
    "SOCKET_RECONNECT_GRACE": "300",
    "SOCKET_HEARTBEAT_INTERVAL": "300",
    "SOCKET_HEARTBEAT_TIMEOUT": "60000",
}
LEASE, GRACE = 0.9, 0.3
STALL = {**SHORT, "SOCKET_HEARTBEAT_TIMEOUT": "1200", "SOCKET_RECONNECT_GRACE": "3000"}
"""For a stall past time-out, lease and grace: only a crawler that is silent for as long as that loses its work."""
STALLED = 1.2 + 3.0 + 0.4
"""Seconds that such a stall lasts."""


class RecoveryTestCase(NodeTestCase):
    """Assertions that hold after any crash."""

    async def group(self, server: Any, count: int, prefix: str = "c") -> list[TestCrawler]:
        """Connect *count* crawlers that send ``hello``."""
        return [await self.greeted(server, f"{prefix}{n}") for n in range(count)]

    def assert_nothing_acknowledged_is_lost(self, load: Load) -> None:
        """Every acknowledged completion is in the database."""
        rows = self.query("SELECT crawler_job_id FROM job_tries WHERE outcome = 'completed'")
        self.assertEqual(load.completed - {str(row[0]) for row in rows}, set())
        rows = self.query("SELECT web_app_job_id FROM job_assignments WHERE started_at IS NOT NULL")
        self.assertEqual({job.partition(".")[0] for job in load.started} - {str(row[0]) for row in rows}, set())

    def assert_done_once(self, jobs: list[str]) -> None:
        """Every job was completed by one attempt."""
        rows = self.query("SELECT job_id FROM job_tries WHERE outcome = 'completed' ORDER BY job_id")
        self.assertEqual([row[0] for row in rows], sorted(jobs))
        self.assertEqual(self.count("completed"), len(jobs))

    def outcomes(self) -> set[str]:
        """The outcomes of past attempts."""
        return {str(row[0]) for row in self.query("SELECT DISTINCT outcome FROM job_tries")}
