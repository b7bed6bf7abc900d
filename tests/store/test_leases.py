"""Leases: when assignments are released, and when not."""

from copilot_socket.core.reports import Report, Started
from copilot_socket.store.leases import Leases
from copilot_socket.store.writes import ConnectionSeen, Folded, Presence
from tests.support.store import GRACE, LEASE, StoreTestCase

A_WHILE = 20.0
"""Seconds: longer than any test, shorter than lease and grace."""
GONE = Presence("c1", "c1", 1, (), False, False)


class ReleaseTests(StoreTestCase):
    """Leases.release_lost()."""

    def _later(self, seconds: float) -> None:
        """Move the leases of crawlers into the past."""
        self.query("UPDATE crawlers SET lease_expires_at = lease_expires_at - %s * interval '1 second'", seconds)

    async def test_after_the_grace(self) -> None:
        """A crawler that is gone keeps its job for the grace."""
        assignment = await self.assigned()
        await self.leases.renew([])
        await self.batches.write(Folded([GONE]))
        self._later(GRACE - A_WHILE)
        self.assertEqual(await self.leases.release_lost(others=False), 0)
        self._later(A_WHILE)
        self.assertEqual(await self.leases.release_lost(others=False), 1)
        self.assertEqual(self.job(assignment[:26], "status", "releases", "attempts"), ("queued", 1, 0))
        self.assertEqual(self.query("SELECT outcome, reason FROM job_tries"), [("released", "its crawler is gone")])

    async def test_fingerprints(self) -> None:
        """A node's row holds the fingerprints of its keys, newest first."""
        keys = ["00000001", "00000002"]
        of = self.database, self.transitions, "keyed"
        await Leases(*of, lease=LEASE, grace=GRACE, job_timeout=3600.0, keys=keys).renew([])
        self.assertEqual(self.query("SELECT key_fingerprints FROM nodes WHERE id = 'keyed'"), [(keys,)])

    async def test_of_a_dead_node(self) -> None:
        """Assignments of a dead node are released a grace after the leases of its crawlers, not before."""
        await self.leases.renew([])
        await self.assigned()
        _batches, _claims, other = self.make_node("other")
        await other.renew([])
        self.query("UPDATE nodes SET lease_expires_at = now() - interval '1 hour' WHERE id <> 'other'")
        for passed, released in ((LEASE - A_WHILE, 0), (GRACE, 0), (A_WHILE, 1)):
            self._later(passed)
            self.assertEqual(await other.release_lost(others=True), released)
        self.assertEqual(self.query("SELECT outcome, reason FROM job_tries"), [("released", "its crawler is gone")])

    async def test_back_in_time(self) -> None:
        """A crawler that is back within the grace, at any node, keeps its job."""
        await self.assigned()
        await self.leases.renew([])
        await self.batches.write(Folded([GONE]))
        self._later(GRACE)
        batches, _claims, _leases = self.make_node("other")
        await self.present("c1", batches=batches)
        self.assertEqual(await self.leases.release_lost(others=True), 0)

    async def test_others_only_when_allowed(self) -> None:
        """Assignments of other nodes are released with *others* only."""
        await self.assigned()
        self._later(LEASE + GRACE)
        _batches, _claims, other = self.make_node("other")
        await other.renew([])
        self.assertEqual(await other.release_lost(others=False), 0)
        self.assertEqual(await other.release_lost(others=True), 1)

    async def test_a_live_crawler_keeps_its_job(self) -> None:
        """A renewal renews the leases of all named crawlers."""
        await self.assigned()
        self._later(LEASE + GRACE)
        await self.leases.renew(["c1"])
        self.assertEqual(await self.leases.release_lost(others=True), 0)

    async def test_a_late_node_takes_nothing(self) -> None:
        """A node with an expired lease releases nothing before it has renewed that."""
        await self.assigned()
        await self.leases.renew([])
        self._later(LEASE + GRACE)
        self.query("UPDATE nodes SET lease_expires_at = now()")
        self.assertEqual(await self.leases.release_lost(others=True), 0)
        await self.leases.renew([])
        self.assertEqual(await self.leases.release_lost(others=True), 1)

    async def test_connected_elsewhere(self) -> None:
        """A crawler that disconnects from one node and is connected to another live one is not gone."""
        await self.assigned()
        batches, _claims, other = self.make_node("other")
        await other.renew([])
        await batches.write(Folded([ConnectionSeen("x", "c1", "c1", True)]))
        await self.batches.write(Folded([GONE]))
        self.assertEqual(self.query("SELECT lease_expires_at > now() FROM crawlers"), [(True,)])

    async def test_must_confirm(self) -> None:
        """After a reconnect assignments that are not confirmed within a grace are released, others stay."""
        first = await self.assigned("a")
        second = await self.assigned("b")
        back = Presence("c1", "c1", 1, (), False, True, confirm_within=60.0)
        await self.batches.write(Folded([back, Report(second, "c1", Started())]))
        self.query("UPDATE job_assignments SET confirm_by = now() WHERE confirm_by IS NOT NULL")
        await self.leases.renew([])
        self.assertEqual(await self.leases.release_lost(others=False), 1)
        self.assertEqual([self.job(name[:26], "status") for name in (first, second)], [("queued",), ("running",)])

    async def test_time_out(self) -> None:
        """An attempt without a report for an hour times out, and counts."""
        assignment = await self.assigned()
        self.assertEqual(await self.leases.time_out(), 0)
        self.query("UPDATE job_assignments SET assigned_at = now() - interval '2 hours'")
        self.assertEqual(await self.leases.time_out(), 1)
        self.assertEqual(self.job(assignment[:26], "status", "attempts", "ready"), ("queued", 1, False))

    async def test_a_refused_credential_parks_the_job(self) -> None:
        """After a refused token and a grace without a report, the job waits for the credential."""
        assignment = await self.assigned()
        for passed, parked in ((GRACE - A_WHILE, 0), (GRACE, 1)):
            self.query(
                "UPDATE job_assignments SET credential_refused_at = now() - %s * interval '1 second', "
                "assigned_at = now() - interval '1 hour'",
                passed,
            )
            self.assertEqual(await self.leases.settle_refused(), parked)
        self.assertEqual(self.job(assignment[:26], "status", "attempts"), ("waiting_credential", 0))

    async def test_a_node_leaves(self) -> None:
        """A node that stops ends its connections, not the leases of its crawlers."""
        await self.assigned()
        await self.leases.renew(["c1"])
        await self.batches.write(Folded([ConnectionSeen("x", "c1", "c1", True)]))
        await self.leases.leave()
        self.assertEqual(self.query("SELECT is_active FROM socket_connections"), [(False,)])
        self.assertEqual(self.query("SELECT lease_expires_at > now() FROM crawlers"), [(True,)])
        self.assertEqual(self.query("SELECT count(*) FROM nodes"), [(0,)])
