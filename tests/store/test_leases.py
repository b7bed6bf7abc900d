"""Leases: what is taken from crawlers that are gone, and when it is not."""

from copilot_socket.core.reports import Report, Started
from copilot_socket.store.operations import ConnectionSeen, Folded, Presence
from tests.support.store import GRACE, LEASE, StoreTestCase

A_WHILE = 20.0
"""Seconds that no test lasts for, less than lease and grace."""
GONE = Presence("c1", "c1", 1, (), False, False)


class ReleaseTests(StoreTestCase):
    """Leases.release_lost()."""

    def _later(self, seconds: float) -> None:
        """Let so much time pass for crawlers and their leases."""
        self.query("UPDATE crawlers SET lease_expires_at = lease_expires_at - %s * interval '1 second'", seconds)

    async def test_after_the_grace(self) -> None:
        """A crawler that left keeps its job for the grace, and no longer."""
        assignment = await self.assigned()
        await self.leases.renew([])
        await self.batches.write(Folded([GONE]))
        self._later(GRACE - A_WHILE)
        self.assertEqual(await self.leases.release_lost(others=False), 0)
        self._later(A_WHILE)
        self.assertEqual(await self.leases.release_lost(others=False), 1)
        self.assertEqual(self.job(assignment[:26], "status", "releases", "attempts"), ("queued", 1, 0))
        self.assertEqual(self.query("SELECT outcome, reason FROM job_tries"), [("released", "its crawler is gone")])

    async def test_of_a_dead_node(self) -> None:
        """What crawlers of a node held that died is taken a grace after their leases, not before."""
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
        """One that is back before that, on any node, keeps it."""
        await self.assigned()
        await self.leases.renew([])
        await self.batches.write(Folded([GONE]))
        self._later(GRACE)
        batches, _claims, _leases = self.make_node("other")
        await self.present("c1", batches=batches)
        self.assertEqual(await self.leases.release_lost(others=True), 0)

    async def test_others_only_when_allowed(self) -> None:
        """Crawlers of another node are judged only by a node that may."""
        await self.assigned()
        self._later(LEASE + GRACE)
        _batches, _claims, other = self.make_node("other")
        await other.renew([])
        self.assertEqual(await other.release_lost(others=False), 0)
        self.assertEqual(await other.release_lost(others=True), 1)

    async def test_a_live_crawler_keeps_its_job(self) -> None:
        """A renewal keeps the lease of everyone named."""
        await self.assigned()
        self._later(LEASE + GRACE)
        await self.leases.renew(["c1"])
        self.assertEqual(await self.leases.release_lost(others=True), 0)

    async def test_a_late_node_takes_nothing(self) -> None:
        """A node whose own lease is over stood still, and judges nobody before it has renewed that."""
        await self.assigned()
        await self.leases.renew([])
        self._later(LEASE + GRACE)
        self.query("UPDATE nodes SET lease_expires_at = now()")
        self.assertEqual(await self.leases.release_lost(others=True), 0)
        await self.leases.renew([])
        self.assertEqual(await self.leases.release_lost(others=True), 1)

    async def test_connected_elsewhere(self) -> None:
        """A crawler that leaves one node and is connected to another living one is not gone."""
        await self.assigned()
        batches, _claims, other = self.make_node("other")
        await other.renew([])
        await batches.write(Folded([ConnectionSeen("x", "c1", "c1", True)]))
        await self.batches.write(Folded([GONE]))
        self.assertEqual(self.query("SELECT lease_expires_at > now() FROM crawlers"), [(True,)])

    async def test_must_confirm(self) -> None:
        """Back without a list: what is not named within one more grace is released, what is named stays."""
        first = await self.assigned("a")
        second = await self.assigned("b")
        back = Presence("c1", "c1", 1, (), False, True, confirm_within=60.0)
        await self.batches.write(Folded([back, Report(second, "c1", Started())]))
        self.query("UPDATE job_assignments SET confirm_by = now() WHERE confirm_by IS NOT NULL")
        await self.leases.renew([])
        self.assertEqual(await self.leases.release_lost(others=False), 1)
        self.assertEqual([self.job(name[:26], "status") for name in (first, second)], [("queued",), ("running",)])

    async def test_time_out(self) -> None:
        """An hour without a report ends the attempt and spends one."""
        assignment = await self.assigned()
        self.assertEqual(await self.leases.time_out(), 0)
        self.query("UPDATE job_assignments SET assigned_at = now() - interval '2 hours'")
        self.assertEqual(await self.leases.time_out(), 1)
        self.assertEqual(self.job(assignment[:26], "status", "attempts", "ready"), ("queued", 1, False))

    async def test_a_refused_credential_parks_the_job(self) -> None:
        """At the grace, without a word from its crawler, it waits for the credential."""
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
        """Its connections are over; its crawlers' leases are not."""
        await self.assigned()
        await self.leases.renew(["c1"])
        await self.batches.write(Folded([ConnectionSeen("x", "c1", "c1", True)]))
        await self.leases.leave()
        self.assertEqual(self.query("SELECT is_active FROM socket_connections"), [(False,)])
        self.assertEqual(self.query("SELECT lease_expires_at > now() FROM crawlers"), [(True,)])
        self.assertEqual(self.query("SELECT count(*) FROM nodes"), [(0,)])
