"""Every event in every state, in the database, by the same table as the pure rules."""

from copilot_socket.core.ends import Cause
from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import HELD, Event, Status
from copilot_socket.core.reports import Body, Completed, Failed, GivenBack, Progressed, Refused, Started
from copilot_socket.core.transitions import Transition
from tests.support.matrix import MATRIX
from tests.support.store import StoreTestCase

_BODIES: dict[Event, Body] = {
    Event.STARTED: Started(),
    Event.PROGRESSED: Progressed({"processed": 1}),
    Event.COMPLETED: Completed({}),
    Event.FAILED: Failed("broke", None, True),
    Event.FAILED_FOR_GOOD: Failed("broke", None, False),
    Event.INCOMPLETE: Completed({}),
    Event.GIVEN_BACK: GivenBack(Cause.RELEASED),
}
# States in which the report that has ended the attempt is acknowledged again.
_SAME_ENDING = {
    (Event.COMPLETED, Status.COMPLETED),
    (Event.INCOMPLETE, Status.COMPLETED),
    (Event.FAILED, Status.FAILED),
    (Event.FAILED_FOR_GOOD, Status.FAILED),
}


class MatrixTests(StoreTestCase):
    """One test for each event, with every state."""

    async def _check(self, event: Event) -> None:
        for number, status in enumerate(Status):
            job_id, assignment = await self.in_status(status, path=f"g/{number}")
            before = self.job(job_id, "status", "attempts", "releases")
            expected = MATRIX[event, status]
            if event is Event.INCOMPLETE:
                await self.report(assignment, Refused("too long", "message_too_large", known=False))
            if event in _BODIES:
                [verdict] = await self.report(assignment, _BODIES[event])
                happened = verdict is Verdict.STORED and status in HELD
                if expected is None:
                    same = (event, status) in _SAME_ENDING or (
                        status is Status.WAITING_CREDENTIAL and event in (Event.FAILED, Event.FAILED_FOR_GOOD)
                    )
                    self.assertIs(verdict, Verdict.STORED if same else Verdict.STALE, f"{event} on {status}")
            elif event is Event.CLAIMED:
                happened = job_id in [name.partition(".")[0] for name in await self.claim()]
            else:
                happened = isinstance((await self.transitions.apply([job_id], event))[job_id], Transition)
            self.assertEqual(happened, expected is not None, f"{event} on {status}")
            if expected is None:
                self.assertEqual(self.job(job_id, "status", "attempts", "releases"), before, f"{event} on {status}")
            else:
                self.assertEqual(self.job(job_id, "status"), (expected,), f"{event} on {status}")
            self._consistent(job_id)
            self.query("UPDATE jobs SET status = 'completed' WHERE id = %s", job_id)
            self.query("UPDATE job_assignments SET completed_at = now() WHERE web_app_job_id = %s", job_id)

    def _consistent(self, job_id: str) -> None:
        """A job is held exactly while its assignment is live, and every ended attempt has its row."""
        [(status, live, tries, rows)] = self.query(
            """SELECT j.status, a.completed_at IS NULL AND a.web_app_job_id IS NOT NULL, j.tries,
                      (SELECT count(*) FROM job_tries t WHERE t.job_id = j.id)
               FROM jobs j LEFT JOIN job_assignments a ON a.web_app_job_id = j.id WHERE j.id = %s""",
            job_id,
        )
        self.assertEqual(live, status in HELD)
        self.assertEqual(rows, tries - (1 if live else 0))


def _add(event: Event) -> None:
    async def test(self: MatrixTests) -> None:
        await self._check(event)

    test.__doc__ = f"{event} on every state."
    setattr(MatrixTests, f"test_{event.name.lower()}", test)


for _event in Event:
    _add(_event)
