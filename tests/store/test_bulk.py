"""Bulk operations on jobs, slice by slice."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.core.access import Within
from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import HTTP, Act
from copilot_socket.core.bulk import Action
from copilot_socket.core.jobs import HELD, TERMINAL, Event, Status
from copilot_socket.event_bus import JobChanged
from copilot_socket.store import job_deletion
from copilot_socket.store.bulk import BulkOperations, NewOperation
from copilot_socket.store.connection import Transaction
from copilot_socket.store.job_lists import JobLists
from tests.support.locks import until_waiting
from tests.support.store import StoreTestCase

ACT = Act(HTTP, Actor("token:ann", "192.0.2.1"), "operation.start")


class BulkTests(StoreTestCase):
    """Operations of one node, and of two."""

    def setUp(self) -> None:
        """Have two nodes."""
        super().setUp()
        self.bulk, self.other = (
            BulkOperations(self.database, self.transitions, JobLists(self.database), node)
            for node in ("node", "other")
        )

    async def start(self, action: Action, within: Within | None = None, **given: Any) -> str:
        """Start an operation."""
        new = NewOperation(action, given, within)
        return await self.bulk.start(new, await self.bulk.preview(new), ACT)

    async def finish(self, operation: str, size: int = 3) -> dict[str, Any]:
        """Run all slices; the row."""
        while await self.bulk.run_slice(size) is not None:
            pass
        return self.row(operation)

    def row(self, operation: str) -> dict[str, Any]:
        """The operation."""
        names = ("status", "expected", "changed", "skipped", "error")
        [row] = self.query(f"SELECT {', '.join(names)} FROM operations WHERE id = %s", operation)
        return dict(zip(names, row, strict=True))

    def states(self, jobs: list[str]) -> list[object]:
        """The states of *jobs*."""
        found = dict(self.query("SELECT id, status FROM jobs WHERE id = ANY (%s)", jobs))
        return [found.get(job) for job in jobs]

    async def test_each_action_on_each_state(self) -> None:
        """Jobs in a state that allows it are changed, and counted by their former state; others are left alone."""
        for number, action in enumerate(Action):
            before = {}
            for status in Status:
                before[(await self.in_status(status, path=f"g{number}/{status}"))[0]] = status
            operation = await self.start(action, path_prefix=f"g{number}")
            done = await self.finish(operation)
            counts = {str(status): 1 for status in action.states}
            self.assertEqual((done["status"], done["changed"], done["skipped"]), ("done", counts, {}), action)
            self.assertEqual(done["expected"], len(counts), action)
            for job, status in before.items():
                [after] = self.states([job])
                if status not in action.states:
                    self.assertEqual(after, status, f"{action} of {status}")
                elif action is Action.DELETE:
                    self.assertIsNone(after)
                    self.assertEqual(self.query("SELECT FROM job_tries WHERE job_id = %s", job), [])
                else:
                    self.assertNotEqual(after, status, f"{action} of {status}")
            live = self.query(
                "SELECT j.status FROM job_assignments a LEFT JOIN jobs j ON j.id = a.web_app_job_id"
                " WHERE a.completed_at IS NULL"
            )
            self.assertTrue({status for (status,) in live} <= set(map(str, HELD)))
            self.query("UPDATE jobs SET status = 'completed'")
            self.query("UPDATE job_assignments SET completed_at = now()")

    async def test_recovered(self) -> None:
        """A recovered job is due at once; its attempt ended as stuck, and nothing is counted."""
        job, assignment = await self.in_status(Status.RUNNING)
        await self.finish(await self.start(Action.RECOVER, ids=[job]))
        self.assertEqual(self.job(job, "status", "attempts", "releases", "ready"), ("queued", 0, 0, True))
        self.assertEqual(self.query("SELECT crawler_job_id, cause FROM job_tries"), [(assignment, "stuck")])

    async def test_which_has_cancelled(self) -> None:
        """A job that an operation has cancelled says so, until it is retried; one cancelled alone does not."""
        alone, together = self.add_jobs("a", "b")
        await self.transitions.apply([alone], Event.CANCELLED)
        operation = await self.start(Action.CANCEL)
        await self.finish(operation)
        with_what = "SELECT cancelled_with FROM jobs ORDER BY full_path"
        self.assertEqual(self.query(with_what), [(None,), (operation,)])
        await self.finish(await self.start(Action.RETRY))
        self.assertEqual((self.states([alone, together]), self.query(with_what)), (["queued"] * 2, [(None,)] * 2))

    async def test_walked_once(self) -> None:
        """Jobs that come to match later, newer ones or again, are not in the set."""
        jobs = self.add_jobs(*(f"g/{n}" for n in range(7)))
        operation = await self.start(Action.CANCEL, command=["issues"])
        await self.bulk.run_slice(3)
        self.assertEqual(self.states(jobs), ["queued"] * 4 + ["cancelled"] * 3)  # newest first
        [late] = self.add_jobs("g/late")
        await self.transitions.apply(jobs[-1:], Event.RETRIED)
        done = await self.finish(operation)
        self.assertEqual(self.states([*jobs, late]), ["cancelled"] * 6 + ["queued"] * 2)
        self.assertEqual(done["changed"], {"queued": 7})

    async def test_twins_and_moved_accounts(self) -> None:
        """A job with a live twin is skipped; of twins in one slice one is retried; so is one whose account moved."""
        first = self.add_jobs("a", "b", "c")
        await self.transitions.apply(first, Event.CANCELLED)
        second = self.add_jobs("a", "b", "c")
        await self.transitions.apply(second[:2], Event.CANCELLED)
        done = await self.finish(await self.start(Action.RETRY, status=["cancelled"]), size=100)
        self.assertEqual((done["changed"], done["skipped"]), ({"cancelled": 2}, {"twin": 3}))
        live = self.query("SELECT full_path FROM jobs WHERE status = 'queued' ORDER BY full_path")
        self.assertEqual(live, [("a",), ("b",), ("c",)])
        await self.transitions.apply([job for (job,) in self.query("SELECT id FROM jobs")], Event.CANCELLED)
        self.query("UPDATE accounts SET gitlab_url = 'http://elsewhere.test'")
        done = await self.finish(await self.start(Action.RETRY))
        self.assertEqual((done["changed"], done["skipped"]), ({}, {"moved": 6}))

    async def test_pause_asks_crawlers(self) -> None:
        """A crawler that takes commands is asked to give its job back, as for a single one."""
        held, assignment = await self.in_status(Status.RUNNING, path="g/held")
        self.query("UPDATE crawlers SET commands = true")
        [queued] = self.add_jobs("g/queued")
        done = await self.finish(await self.start(Action.PAUSE))
        self.assertEqual(done["changed"], {"running": 1, "queued": 1})
        self.assertEqual(self.states([held, queued]), ["running", "paused"])
        asked = "SELECT crawler_job_id FROM job_assignments WHERE pause_requested_at IS NOT NULL"
        self.assertEqual(self.query(asked), [(assignment,)])

    async def test_within(self) -> None:
        """A limited token's operation changes nothing else, also when another node goes on with it."""
        jobs = self.add_jobs("a", "b")
        self.query("UPDATE jobs SET user_id = 'ann' WHERE id = %s", jobs[0])
        operation = await self.start(Action.CANCEL, Within(users=frozenset({"ann"})))
        await self.other.run_slice(10)
        self.assertEqual(self.states(jobs), ["cancelled", "queued"])
        self.assertEqual(self.row(operation)["changed"], {"queued": 1})

    async def test_after_a_death(self) -> None:
        """The lease of a node that died is waited for; then another goes on where it was, each job changed once."""
        jobs = self.add_jobs(*(f"g/{n}" for n in range(5)))
        operation = await self.start(Action.CANCEL)
        lease = (
            "INSERT INTO nodes (id, host, pid, lease_expires_at) VALUES ('node', 'h', 1, now() + interval '1 hour')"
        )
        self.query(lease)
        await self.bulk.run_slice(2)
        self.assertIsNone(await self.other.run_slice(2))
        self.query("UPDATE nodes SET lease_expires_at = now()")
        while await self.other.run_slice(2) is not None:
            pass
        self.assertEqual(self.row(operation)["changed"], {"queued": 5})
        self.assertEqual(self.states(jobs), ["cancelled"] * 5)
        changed = [event.job_id for event in self.published if isinstance(event, JobChanged)]
        self.assertEqual(sorted(changed), jobs)

    async def test_two_nodes_at_once(self) -> None:
        """A node whose operation another one has taken changes nothing more: its slice is rolled back."""
        jobs = self.add_jobs(*(f"g/{n}" for n in range(40)))
        operation = await self.start(Action.CANCEL)
        # Neither has a lease, so each takes what the other has.
        for _ in range(60):
            both = [Deferred.fromCoroutine(each.run_slice(1)) for each in (self.bulk, self.other)]
            await gatherResults(both, consumeErrors=True)
        self.assertEqual(self.row(operation)["status"], "done")
        self.assertEqual(self.row(operation)["changed"], {"queued": 40})
        changed = [event.job_id for event in self.published if isinstance(event, JobChanged)]
        self.assertEqual(sorted(changed), jobs)

    async def test_aborted(self) -> None:
        """An aborted operation leaves the rest alone; it can't be aborted twice."""
        jobs = self.add_jobs("a", "b", "c")
        operation = await self.start(Action.CANCEL)
        await self.bulk.run_slice(1)
        self.assertTrue(await self.bulk.abort(operation, ACT))
        self.assertFalse(await self.bulk.abort(operation, ACT))
        done = await self.finish(operation)
        self.assertEqual((done["status"], done["changed"]), ("aborted", {"queued": 1}))
        self.assertEqual(self.states(jobs), ["queued", "queued", "cancelled"])

    async def test_aborted_during_a_slice(self) -> None:
        """A slice that was under way is rolled back."""
        jobs = self.add_jobs("a")
        operation = await self.start(Action.CANCEL)
        below = self.bulk.jobs.below

        async def abort_first(*args: Any) -> Any:
            found = await below(*args)
            await self.bulk.abort(operation, ACT)
            return found

        self.bulk.jobs.below = abort_first  # type: ignore[method-assign]
        await self.bulk.run_slice(1)
        self.assertEqual((self.states(jobs), self.published), (["queued"], []))

    async def test_looks_again(self) -> None:
        """A job that has ceased to meet any condition since it was read is left alone, and counted so."""
        below, changes = self.bulk.jobs.below, [""]

        async def then(*args: Any) -> Any:
            found = await below(*args)
            self.query(changes[-1])
            return found

        self.bulk.jobs.below = then  # type: ignore[method-assign]
        for number, (given, change) in enumerate(
            (
                ({"cause": ["job_error"]}, "UPDATE jobs SET cause = 'not_found'"),
                ({"error": "f" * 16}, "UPDATE jobs SET error = NULL"),
                ({"finished_before": "2026-01-01T00:00:00Z"}, "UPDATE jobs SET finished_at = now()"),
                ({"started": False}, "UPDATE jobs SET started_at = now()"),
                ({"status": ["failed"]}, "UPDATE jobs SET status = 'cancelled'"),
                ({}, "DELETE FROM jobs"),
            )
        ):
            for action in (Action.RETRY, Action.DELETE):
                changes.append(change)
                [job] = self.add_jobs(f"g/{number}")
                self.query(
                    "UPDATE jobs SET status = 'failed', cause = 'job_error', error = %s,"
                    " finished_at = '2025-01-01T00:00:00Z' WHERE id = %s",
                    "f" * 16,
                    job,
                )
                done = await self.finish(await self.start(action, **given))
                why = "state" if given else "gone"
                self.assertEqual((done["changed"], done["skipped"]), ({}, {why: 1}), (action, given))
                self.query("DELETE FROM jobs")

    async def test_locks_as_reports_do(self) -> None:
        """A slice waits for a live attempt that a report has locked before it locks the job."""
        job, assignment = await self.in_status(Status.RUNNING)
        await self.start(Action.CANCEL)

        async def report(tx: Transaction) -> None:
            await tx.query("SELECT FROM job_assignments WHERE crawler_job_id = %(id)s FOR UPDATE", {"id": assignment})
            slice_ = Deferred.fromCoroutine(self.bulk.run_slice(9))
            await until_waiting(self)
            await tx.query("SELECT FROM jobs WHERE id = %(id)s FOR UPDATE", {"id": job})
            running.append(slice_)

        running: list[Deferred[float | None]] = []
        await self.database.transaction(report)
        await running[0]
        self.assertEqual((len(running), self.states([job])), (1, ["cancelled"]))

    async def test_deletes_a_tree(self) -> None:
        """Jobs are deleted before their parents; children that stay have no parent any more."""
        [root] = self.add_jobs("root", command="project")
        children = self.add_jobs(*(f"g/{n}" for n in range(6)))
        self.query("UPDATE jobs SET spawned_from = %s WHERE id <> %s", root, root)
        await self.transitions.apply([root, *children[:4]], Event.CANCELLED)
        self.patch(job_deletion, "ORPHANS", 1)
        done = await self.finish(await self.start(Action.DELETE), size=2)
        self.assertEqual(done["changed"], {"cancelled": 5})
        self.assertEqual(
            self.query("SELECT id, spawned_from FROM jobs ORDER BY id"), [(c, None) for c in children[4:]]
        )
        self.assertTrue(TERMINAL.isdisjoint(map(Status, self.states(children[4:]))))

    async def test_recorded(self) -> None:
        """Start and end are rows of the audit log, by whoever started it."""
        self.add_jobs("a", "b")
        operation = await self.start(Action.CANCEL, command=["issues"])
        await self.finish(operation)
        rows = self.query("SELECT actor, action, target, count, details FROM audit_log ORDER BY id")
        asked = {"action": "cancel", "filter": {"command": ["issues"]}}
        self.assertEqual(
            rows,
            [
                ("token:ann", "operation.start", operation, 2, asked),
                (
                    "token:ann",
                    "operation.end",
                    operation,
                    2,
                    {"status": "done", "changed": {"queued": 2}, "skipped": {}},
                ),
            ],
        )

    async def test_hopeless(self) -> None:
        """An operation that can't be carried out fails with the reason, and holds up no other."""
        [job] = self.add_jobs("a")
        bad = await self.start(Action.CANCEL)
        self.query("""UPDATE operations SET filter = '{"nonsense": 1}'""")
        good = await self.start(Action.CANCEL)
        done = await self.finish(good)
        self.assertEqual((done["status"], self.states([job])), ("done", ["cancelled"]))
        self.assertEqual((self.row(bad)["status"], self.row(bad)["error"]), ("failed", "KeyError: 'nonsense'"))

    async def test_in_turn(self) -> None:
        """Of several operations each has a slice in turn: a small one does not wait for a large one."""
        self.add_jobs(*(f"g/{n}" for n in range(9)))
        small = self.add_jobs("small")
        await self.start(Action.CANCEL, path_prefix="g")
        await self.start(Action.CANCEL, ids=small)
        await self.bulk.run_slice(2)
        await self.bulk.run_slice(2)
        self.assertEqual(self.states(small), ["cancelled"])
