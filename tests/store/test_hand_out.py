"""A new job and its assignment, by one statement."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.http.slices import Slices
from copilot_socket.store.hand_out import HandOut, Offer
from copilot_socket.store.submission import NewJob, Submission
from copilot_socket.store.turns import Claimed, Wants
from copilot_socket.telling import JobCreated
from tests.support.crawler import until
from tests.support.store import PLAIN_COMMANDS, StoreTestCase

JOB: NewJob = {"account_id": "acct", "command": "issues", "full_path": "g/p"}
EVERYTHING: NewJob = {
    **JOB,
    "branch": "main",
    "user_id": "u",
    "gitlab_url": "http://gitlab.test:80/sub",
    "priority": 5,
    "max_attempts": 7,
    "resume_state": b'{"page":3}',
}


class OneIdle:
    """Knows one crawler, ``c1``, and notes what it was given, behind what had been told by then."""

    def __init__(self, told: list[Any]) -> None:
        self.told = told
        self.offers = 0
        self.wants = Wants({"c1": 1}, PLAIN_COMMANDS)

    @contextmanager
    def offer(self, command: str) -> Iterator[Offer]:
        self.offers += 1
        offer = Offer(self.wants)
        yield offer
        self.told.extend(offer.jobs)


class HandOutTestCase(StoreTestCase):
    """Jobs are put in while ``c1`` waits."""

    def setUp(self) -> None:
        super().setUp()
        self.idle = OneIdle(self.told)
        self.hand_out = HandOut(self.database, self.idle, "node")
        self.addCleanup(self.hand_out.close)
        self.submission = Submission(self.database, 3, self.telling, Slices(reactor).next, self.hand_out)
        self.telling.listen(self.told.append, {JobCreated})

    def given(self) -> list[Claimed]:
        """What the crawler was given."""
        return [told for told in self.told if isinstance(told, Claimed)]

    def assignments(self) -> list[tuple[object, ...]]:
        """What the table of assignments says."""
        return self.query("SELECT crawler_job_id, crawler_key, status, try FROM job_assignments ORDER BY 1")


class HandOutTests(HandOutTestCase):
    """Submission.submit() of a single job."""

    async def test_a_job_for_who_waits(self) -> None:
        """It is assigned from the start, as if it had been claimed, and told of before its crawler has it."""
        await self.present("c1", max_jobs=1)
        self.query(
            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type) VALUES "
            "('http://gitlab.test', 'g/p', 7, 'P', 'project'), ('http://other.test', 'g/p', 8, 'P', 'project')"
        )
        given: NewJob = {**JOB, "branch": "main", "priority": 5, "resume_state": b'{"page":3}'}
        submitted = await self.submission.submit([given])
        self.assertEqual((submitted.created, submitted.handed_out), ([True], True))
        created, claimed = self.told
        self.assertEqual((created.job_id, claimed.assignment[:26]), (submitted.ids[0], submitted.ids[0]))
        self.assertEqual(self.assignments(), [(claimed.assignment, "c1", "assigned", 1)])
        self.assertEqual(self.job(submitted.ids[0], "status", "tries", "priority"), ("assigned", 1, 5))
        self.assertEqual((claimed.crawler, claimed.entity_id, claimed.area_type), ("c1", "7", "project"))
        self.assertEqual((claimed.branch, claimed.resume_state, claimed.waited), ("main", {"page": 3}, 0.0))
        self.assertEqual((claimed.account, claimed.access_token), ("acct", "token"))

    async def test_like_a_claim(self) -> None:
        """Whatever is asked for, row for row what storing and then claiming would have made of it."""
        self.assertEqual({*EVERYTHING, "scheduled_at"}, set(NewJob.__annotations__))
        await self.present("c1")
        columns = (
            "status, command, full_path, branch, account_id, user_id, provider, gitlab_url, priority, attempts, "
            "max_attempts, releases, tries, resume_state, progress, ready, spawned_from, started_at, finished_at"
        )
        held = "account_id, user_id, completed_at, status, metadata, try, crawler_key, token_generation, outcome"
        for asked in (JOB, EVERYTHING):
            rows = []
            for wants in (Wants({"c1": 1}, PLAIN_COMMANDS), Wants({}, ())):
                self.idle.wants = wants
                [job_id] = (await self.submission.submit([asked])).ids
                if not wants:
                    await self.claim()
                [job] = self.query(f"SELECT {columns} FROM jobs WHERE id = %s", job_id)
                [assignment] = self.query(f"SELECT {held} FROM job_assignments WHERE web_app_job_id = %s", job_id)
                rows.append((job, assignment))
                self.query("DELETE FROM job_assignments")
                self.query("DELETE FROM jobs")
            self.assertEqual(rows[0], rows[1])

    async def test_no_room(self) -> None:
        """A crawler that holds all it may, or that has moved to another node, is given nothing; the job is queued."""
        await self.present("c1", max_jobs=1)
        await self.submission.submit([JOB])
        full = await self.submission.submit([{**JOB, "full_path": "g/2"}])
        self.query("UPDATE job_assignments SET completed_at = now()")
        self.query("UPDATE crawlers SET node_id = 'other'")
        moved = await self.submission.submit([{**JOB, "full_path": "g/3"}])
        self.assertEqual(len(self.given()), 1)
        self.assertEqual([self.job(each.ids[0], "status", "tries") for each in (full, moved)], [("queued", 0)] * 2)
        self.assertEqual([full.handed_out, moved.handed_out], [False, False])
        created = [told.job_id for told in self.told if isinstance(told, JobCreated)]
        self.assertEqual(created[1:], [*full.ids, *moved.ids])

    async def test_a_live_twin(self) -> None:
        """The twin's id is the answer, and nobody is given it once more."""
        await self.present("c1")
        first = await self.submission.submit([JOB])
        again = await self.submission.submit([JOB])
        self.assertEqual((again.ids, again.created, again.handed_out), (first.ids, [False], False))
        self.assertEqual((len(self.given()), len(self.assignments())), (1, 1))

    async def test_not_for_everything(self) -> None:
        """Lists, jobs with a time of their own, and jobs for which nobody waits are put in and no more."""
        await self.present("c1")
        await self.submission.submit([{**JOB, "scheduled_at": "2020-01-01T00:00:00Z"}])
        await self.submission.submit([{**JOB, "full_path": "g/2"}, {**JOB, "full_path": "g/3"}])
        self.assertEqual(self.idle.offers, 0)
        self.idle.wants = Wants({}, ())
        await self.submission.submit([{**JOB, "full_path": "g/4"}])
        self.assertEqual(self.idle.offers, 1)
        self.assertEqual(self.query("SELECT DISTINCT status FROM jobs"), [("queued",)])

    async def test_one_at_a_time(self) -> None:
        """While one is being handed out, the next takes the ordinary way and does not wait."""
        await self.present("c1")
        jobs: list[NewJob] = [{**JOB, "full_path": path} for path in ("g/1", "g/2")]
        answers = await gatherResults([Deferred.fromCoroutine(self.submission.submit([job])) for job in jobs])
        self.assertEqual(sorted(answer.handed_out for answer in answers), [False, True])
        self.assertEqual(self.idle.offers, 1)

    async def test_somebody_in_the_way(self) -> None:
        """Where an open transaction holds a twin, the crawler is free again soon; the submission waits by itself."""
        await self.present("c1")
        other = psycopg2.connect(self.database_url)
        self.addCleanup(other.close)
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO jobs (account_id, command, full_path) VALUES ('acct', 'issues', 'g/p')")
        waiting = Deferred.fromCoroutine(self.submission.submit([JOB]))
        await until(lambda: self.database.use.in_use > 0, "it takes the ordinary way")
        self.assertFalse(waiting.called)
        other.rollback()
        submitted = await waiting
        self.assertEqual((submitted.created, submitted.handed_out, self.given()), ([True], False, []))


class AnnouncementTests(HandOutTestCase):
    """Who is told of new jobs."""

    async def test_only_of_what_is_to_be_had(self) -> None:
        """Nodes are woken for a job that is queued, and not for one that a crawler has already."""
        heard: list[str] = []
        connection = self.database.dedicated()
        self.addCleanup(connection.close)
        connection.on_notify = lambda channel, _: heard.append(channel)
        await connection.query("LISTEN copilot_jobs")
        await self.present("c1", max_jobs=1)
        for path, told in (("g/1", 0), ("g/2", 1)):
            await self.submission.submit([{**JOB, "full_path": path}])
            await connection.query("SELECT 1")
            self.assertEqual(len(heard), told, path)


class GuardTests(HandOutTestCase):
    """What the table takes from whom."""

    async def test_nobody_else(self) -> None:
        """Another program can't make a job that a crawler has; nor can this server's next transaction."""
        await self.present("c1")
        await self.submission.submit([JOB])
        for setting in ("", "SET copilot.hands_out = 'no'; "):
            with self.assertRaises(psycopg2.errors.CheckViolation):
                self.query(
                    f"{setting}INSERT INTO jobs (account_id, command, full_path, status) "
                    "VALUES ('acct', 'issues', 'g/2', 'assigned')"
                )
        rows = await self.hand_out._connection.query("SELECT current_setting('copilot.hands_out')")
        self.assertEqual(rows, [("",)])
