"""The store's parts on a fresh database, and helpers that bring jobs into any state."""

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import COMMANDS, PLAIN_ENTITY_TYPES, Event, Status, commands_for
from copilot_socket.core.reports import Body, Completed, Report, Started
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.scheduling import Allotment
from copilot_socket.event_bus import EventBus
from copilot_socket.store.batches import Batches, Settings
from copilot_socket.store.connection import HOT, Limits
from copilot_socket.store.database import Database
from copilot_socket.store.discoveries import Discoveries
from copilot_socket.store.dispatch_reads import DispatchReads
from copilot_socket.store.leases import Leases
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.turns import Claim, Plan
from copilot_socket.store.writer import Writer
from copilot_socket.store.writes import Folded, Presence
from tests.support.postgres import DatabaseTestCase

LEASE, GRACE = 30.0, 60.0
"""Seconds, longer than any test: to let them expire, a test changes the stored times."""
MAX_JOB_AGE = 3600.0
"""Seconds after which finished jobs may be deleted."""

PLAIN_COMMANDS = commands_for(PLAIN_ENTITY_TYPES)


def planned(
    *crawlers: str, account: str = "acct", commands: Sequence[str] = COMMANDS, taking_over: Iterable[str] = ()
) -> Plan:
    """One allotment: a job of *account* for each of *crawlers*, in this order."""
    allotments = [Allotment(account, tuple(commands), crawlers, frozenset(commands), 0)] if crawlers else []
    return Plan(allotments, frozenset(taking_over))


COUNTERS_THAT_DIFFER = """
SELECT * FROM job_totals FULL JOIN (
  SELECT account_id::text, coalesce(user_id, '')::text AS user_id, command::text,
         CASE WHEN status <> 'queued' THEN status WHEN ready THEN 'queued'
              WHEN pause_id IS NULL THEN 'scheduled' ELSE 'path_paused' END AS state, count(*) AS found
  FROM jobs GROUP BY 1, 2, 3, 4) AS counted USING (account_id, user_id, command, state)
WHERE jobs IS DISTINCT FROM found
"""
"""The counters of jobs that differ from the jobs, in one snapshot."""


class StoreTestCase(DatabaseTestCase):
    """The store of a node called ``node``, an account ``acct``, a crawler ``c1`` and any number of others.

    ``published`` are all state events. The account's credential has expired, so that jobs can wait for it; the store
    claims jobs all the same.
    """

    def setUp(self) -> None:
        super().setUp()
        self.published: list[Any] = []
        self.bus = EventBus()
        self.bus.subscribe(self.published.append)
        self.database = Database(self.database_url, reactor, Limits(), 3)
        self.addCleanup(self.database.close)
        self.transitions = Transitions(self.database, RetryPolicy(base=5.0), self.bus, jitter=lambda: 0.5)
        self.batches, self.reads, self.leases = self.make_node("node")
        discovering = self.database.dedicated(settings=HOT)
        self.addCleanup(discovering.close)
        self.discoveries = Discoveries(discovering, Settings("node", LEASE, 3, MAX_JOB_AGE), self.bus)
        self.writer = Writer(self.batches, self.discoveries, reactor, self.bus)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token, credential_status) "
            "VALUES ('acct', 'gitlab-onprem', 'http://gitlab.test', 'token', 'expired')"
        )

        self.addCleanup(self.assert_counted)

    def assert_counted(self) -> None:
        """The counters say what counting the jobs says."""
        self.assertEqual(self.query(COUNTERS_THAT_DIFFER), [])

    def make_node(self, node: str) -> tuple[Batches, DispatchReads, Leases]:
        """The parts of another node on the same database."""
        writing = self.database.dedicated(settings=HOT)
        self.addCleanup(writing.close)
        leases = Leases(self.database, self.transitions, node, lease=LEASE, grace=GRACE, job_timeout=3600.0)
        return (
            Batches(writing, Settings(node, LEASE, 3, MAX_JOB_AGE), self.transitions),
            DispatchReads(self.database, node),
            leases,
        )

    def add_jobs(self, *paths: str, command: str = "issues") -> list[str]:
        """Insert queued jobs as another program would; return their ids."""
        return [
            str(
                self.query(
                    "INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', %s, %s) RETURNING id",
                    command,
                    path,
                )[0][0]
            )
            for path in paths
        ]

    def job(self, job_id: str, *columns: str) -> tuple[Any, ...]:
        """Columns of a job's row."""
        return self.query(f"SELECT {', '.join(columns)} FROM jobs WHERE id = %s", job_id)[0]

    async def present(
        self,
        *keys: str,
        max_jobs: int = 100,
        entity_types: tuple[str, ...] = PLAIN_ENTITY_TYPES,
        batches: Batches | None = None,
    ) -> None:
        """Make crawlers present at a node."""
        writes = [Presence(key, key, max_jobs, entity_types, False, True) for key in keys]
        await (batches or self.batches).write(Folded(writes))

    async def claims_of(
        self, *crawlers: str, batches: Batches | None = None, commands: Sequence[str] = COMMANDS
    ) -> Claim:
        """Claim a job of ``acct`` for each of *crawlers*, in this order."""
        return await (batches or self.batches).claim(planned(*crawlers, commands=commands))

    async def claim(self, key: str = "c1", count: int = 1) -> list[str]:
        """Claim jobs for a crawler; return the assignments."""
        return [job.assignment for job in (await self.claims_of(*[key] * count)).jobs]

    async def assigned(self, path: str = "g/p", key: str = "c1") -> str:
        """Add a job and claim it; return the assignment."""
        self.add_jobs(path)
        await self.present(key)
        [assignment] = await self.claim(key)
        return assignment

    async def report(self, assignment: str, *bodies: Body, key: str = "c1") -> list[Verdict]:
        """Write reports together; return their verdicts."""
        return await gatherResults([self.writer.submit(Report(assignment, key, body)) for body in bodies])

    async def in_status(self, status: Status, path: str = "g/p") -> tuple[str, str]:
        """Bring a new job into *status* by events of the store; return its id and that of its last assignment."""
        assignment = await self.assigned(path)
        job_id = assignment.partition(".")[0]
        match status:
            case Status.QUEUED:
                await self.transitions.apply([job_id], Event.RETURNED)
            case Status.RUNNING:
                await self.report(assignment, Started())
            case Status.COMPLETED:
                await self.report(assignment, Completed({}))
            case Status.FAILED:
                await self.transitions.apply([job_id], Event.FAILED_FOR_GOOD)
                self.query("UPDATE jobs SET attempts = 0 WHERE id = %s", job_id)
            case Status.CANCELLED:
                await self.transitions.apply([job_id], Event.CANCELLED)
            case Status.PAUSED:
                await self.transitions.apply([job_id], Event.RETURNED)
                self.query("UPDATE jobs SET status = 'paused' WHERE id = %s", job_id)
            case Status.WAITING_CREDENTIAL:
                await self.transitions.apply([job_id], Event.NO_CREDENTIAL)
        self.assertEqual(self.job(job_id, "status"), (status,))
        return job_id, assignment
