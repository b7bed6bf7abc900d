"""A claim whose outcome is unknown."""

from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.turns import Claim, Wants
from tests.handlers.support import NodeTestCase


class DoubtTests(NodeTestCase):
    """The connection is lost during COMMIT."""

    async def test_a_committed_claim_is_sent(self) -> None:
        """What was claimed without the node's hearing of it reaches its crawler all the same, once."""
        original = Claims.claim
        lost: list[int] = []

        async def cut_short(claims: Claims, wants: Wants) -> Claim:
            claim = await original(claims, wants)
            if claim.jobs and not lost:
                lost.append(len(claim.jobs))
                raise DatabaseAway("the connection was lost")
            return claim

        self.patch(Claims, "claim", cut_short)
        await self.node()
        crawler = await self.crawler(maxJobs=2)
        [first, second] = self.add_jobs("g/1", "g/2")
        jobs = await crawler.ask(limit=2)
        self.assertEqual([job["id"].partition(".")[0] for job in jobs], [first, second])
        self.assertEqual(lost, [2])
        self.assertEqual([(job["id"].split(".")[1]) for job in jobs], ["1", "1"])
        self.assertEqual(await crawler.ask(), [])
