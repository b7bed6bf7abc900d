"""Claims under limits of running jobs and budgets: exact, whoever else claims."""

from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Completed, Report
from copilot_socket.core.scheduling import Allotment
from copilot_socket.store.turns import Claim, Plan
from copilot_socket.store.writes import Folded
from tests.support.store import PLAIN_COMMANDS, StoreTestCase

ORIGIN = "http://gitlab.test"


def capped(**crawlers: tuple[str, ...]) -> Plan:
    """An allotment for each account: a job for each of its crawlers."""
    commands = PLAIN_COMMANDS
    return Plan(
        [Allotment(account, commands, keys, frozenset(commands), 0) for account, keys in crawlers.items()],
        locks=[1, 2],
    )


class CapTests(StoreTestCase):
    """Batches.claim() and .write() with plans whose accounts have limits."""

    async def paths(self, count: int) -> None:
        """So many jobs, and crawlers with room."""
        self.add_jobs(*(f"g/{number}" for number in range(count)))
        await self.present("c1", "c2")

    def limit(self, number: int) -> None:
        """Of the account."""
        self.query("UPDATE accounts SET max_running = %s WHERE id = 'acct'", number)

    def limit_host(self, number: int) -> None:
        """Of the host."""
        self.query("INSERT INTO hosts (origin, max_running) VALUES (%s, %s)", ORIGIN, number)

    def results(self, claim: Claim) -> list[tuple[int, str | None]]:
        """By allotment: the number of jobs that it claimed, and what has kept others back."""
        given = [sum(job.account == each.allotment.account for job in claim.jobs) for each in claim.settled]
        return list(zip(given, (each.kept_by for each in claim.settled), strict=True))

    async def test_no_more_than_the_limit(self) -> None:
        """What runs counts; what is full claims nothing, and says so."""
        await self.paths(5)
        self.limit(3)
        self.assertEqual(self.results(await self.batches.claim(capped(acct=("c1",) * 2))), [(2, None)])
        claim = await self.batches.claim(capped(acct=("c1",) * 2))
        self.assertEqual(self.results(claim), [(1, "account")])
        claim = await self.batches.claim(capped(acct=("c1",) * 2))
        self.assertEqual(self.results(claim), [(0, "account")])
        self.assertFalse(claim.settled[0].exhausted or claim.settled[0].beaten)

    async def test_a_job_ends_in_the_same_statement(self) -> None:
        """Its place is free at once."""
        await self.paths(2)
        self.limit(1)
        plan = capped(acct=("c1",))
        [job] = (await self.batches.claim(plan)).jobs
        written = await self.batches.write(Folded([Report(job.assignment, "c1", Completed({}))]), plan)
        self.assertEqual((written.verdicts, len(written.claim.jobs)), ([Verdict.STORED], 1))

    async def test_and_of_the_host(self) -> None:
        """Its accounts share it, in the order of the plan; other hosts' jobs don't count."""
        await self.paths(5)
        self.limit_host(3)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) VALUES"
            " ('two', 'gitlab-onprem', %s, 't'), ('far', 'gitlab-onprem', 'http://far.test', 't')",
            ORIGIN,
        )
        for account in ("two", "far"):
            self.query(
                "INSERT INTO jobs (account_id, command, full_path)"
                " SELECT %s, 'issues', generate_series(1, 5)::text", account,
            )  # fmt: skip
        claim = await self.batches.claim(capped(acct=("c1",) * 2, far=("c1",) * 3, two=("c2",) * 2))
        self.assertEqual(self.results(claim), [(2, None), (3, None), (1, "host")])
        job = next(job for job in claim.jobs if job.account == "acct")
        written = await self.batches.write(
            Folded([Report(job.assignment, "c1", Completed({}))]), capped(far=("c2",), two=("c2",))
        )
        self.assertEqual(self.results(written.claim), [(1, None), (1, None)])

    async def test_the_least_counts(self) -> None:
        """Of limits and budgets, of account and host; a budget that is over does not."""
        await self.paths(6)
        self.limit(5)
        for account, name, allowed, until in (
            ("acct", "", 4, "1 min"), ("acct", "x", 0, "-1 s"), ("", "", 2, "1 min"), ("other", "", 0, "1 min"),
        ):  # fmt: skip
            self.query(
                "INSERT INTO budgets (gitlab_origin, account_id, name, jobs_allowed, reset_at)"
                " VALUES (%s, %s, %s, %s, now() + %s::interval)", ORIGIN, account, name, allowed, until,
            )  # fmt: skip
        claim = await self.batches.claim(capped(acct=("c1",) * 6))
        self.assertEqual(self.results(claim), [(2, "host")])

    async def test_nodes_at_the_same_time(self) -> None:
        """However many claim at once, the limit is reached and not exceeded."""
        await self.paths(40)
        nodes = [self.batches, *(self.make_node(f"node{number}")[0] for number in range(3))]
        for number, batches in enumerate(nodes):
            await self.present(f"n{number}", batches=batches)
            plan = Plan((), frozenset({f"n{number}"}))
            await batches.claim(plan)
        for limiting, most in ((self.limit, 7), (self.limit_host, 9)):
            limiting(most)
            for _ in range(5):
                claims = await gatherResults(
                    [
                        Deferred.fromCoroutine(batches.claim(capped(acct=(f"n{number}",) * 3)))
                        for number, batches in enumerate(nodes)
                    ]
                )
                running = self.query("SELECT count(*) FROM jobs WHERE status = 'assigned'")
                self.assertLessEqual(running[0][0], most)
                jobs = [job.assignment for claim in claims for job in claim.jobs]
                if not jobs:
                    break
            self.assertEqual(running, [(most,)])
            self.limit(100)
