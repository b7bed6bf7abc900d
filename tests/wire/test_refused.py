"""Discoveries that are refused as a whole: the handler is notified, in the order of the messages."""

import json
from collections.abc import Callable
from typing import Any

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.pending import NotYet
from tests.wire.connection import ProtocolTestCase, beat

JOBS = {"type": "jobs_discovered", "timestamp": "t", "id": "m", "jobId": "J", "data": {"discovered_jobs": []}}
AREAS = {"type": "discovery", "timestamp": "t", "id": "m", "data": {"entityType": "group", "entities": []}}


def written(message: dict[str, Any], **data: object) -> bytes:
    """The bytes of *message*, with other *data*."""
    return json.dumps({**message, "data": {**message["data"], **data}}).encode()


class RefusedTests(ProtocolTestCase):
    """Which refusals the handler is notified of."""

    def refused(self, data: bytes) -> list[tuple[str, str | None, str | None]]:
        """The notifications for *data*: code, type and job."""
        self.receive(data)
        found = [(error.code, error.message_type, error.job_id) for error in self.handler.refusals]
        self.handler.refusals.clear()
        return found

    def test_too_large(self) -> None:
        """Of one that is too long, with what its beginning says; the error names message and job, too."""
        found = self.refused(written(JOBS, x="x" * self.limit))
        self.assertEqual(found, [("message_too_large", "jobs_discovered", "J")])
        self.assertEqual(self.sent(), ["message_too_large m"])
        self.assertIn(b"SOCKET_MAX_MESSAGE_SIZE", self.transport.value())
        found = self.refused(written(AREAS, x="x" * self.limit))
        self.assertEqual(found, [("message_too_large", "discovery", None)])

    def test_byte_by_byte(self) -> None:
        """Once, however it comes."""
        for byte in written(JOBS, x="x" * self.limit):
            self.receive(bytes([byte]))
        self.assertEqual([error.job_id for error in self.handler.refusals], ["J"])

    def test_against_the_schema(self) -> None:
        """Of one that is invalid as a whole, wherever the fault is."""
        jobs, areas = ("invalid_message", "jobs_discovered", "J"), ("invalid_message", "discovery", None)
        self.assertEqual(self.refused(written(JOBS, discovered_jobs=None)), [jobs])
        self.assertEqual(self.refused(written(JOBS, discovery_summary={"total_users": "x"})), [jobs])
        self.assertEqual(self.refused(written({**JOBS, "timestamp": 5})), [jobs])
        self.assertEqual(self.refused(written(AREAS, entities={})), [areas])
        self.assertEqual(self.refused(written(AREAS, entityType=1)), [areas])

    def test_no_json(self) -> None:
        """Also of one that is not JSON, or cut by a newline, if its type can be read."""
        data = written(JOBS)
        broken = ("invalid_json", "jobs_discovered", "J")
        self.assertEqual(self.refused(data[:-5] + b"\n"), [broken])
        self.assertEqual(self.refused(data.replace(b"[]", b"[NaN]") + b"\n"), [broken])
        self.assertEqual(self.refused(b"rubbish\n"), [])

    def test_bad_elements(self) -> None:
        """Not of one whose elements are bad, be it all of them: it is recorded without these."""
        self.assertEqual(self.refused(written(JOBS, discovered_jobs=[1, {}])), [])
        self.assertEqual(self.handler.refs, ["m"])

    def test_other_types(self) -> None:
        """Not of anything else."""
        for message in ({**JOBS, "type": "heartbeat"}, {**JOBS, "type": "x"}, {**JOBS, "type": 5}):
            self.assertEqual(self.refused(written(message)), [])
        self.assertEqual(self.refused(written({**JOBS, "type": "job_progress"}, x="x" * self.limit)), [])

    def test_the_last_of_too_many(self) -> None:
        """Of the one with which the connection closes, too."""
        self.receive(b"x\n" * 19)
        self.assertEqual(
            self.refused(written(JOBS, discovered_jobs=None)), [("invalid_message", *("jobs_discovered", "J"))]
        )
        self.assertTrue(self.transport.disconnecting)

    def test_a_handler_that_breaks(self) -> None:
        """It harms nothing else."""

        def broken(_link: Any, _error: ProtocolError) -> None:
            raise ZeroDivisionError

        self.handler.refused = broken  # type: ignore[method-assign]
        self.receive(written(JOBS, discovered_jobs=None) + beat(1))
        self.assertEqual(self.sent(), ["invalid_message m", "1"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class OrderTests(ProtocolTestCase):
    """The handler must wait until the sender of the discovery is settled."""

    def test_waits(self) -> None:
        """The error is sent immediately; messages behind it wait."""
        callbacks: list[Callable[[], None]] = []
        at_last: list[ErrorCode] = []

        def refused(_link: Any, _error: ProtocolError) -> None:
            raise NotYet(callbacks.append, lambda _link, error: at_last.append(error.code))

        self.handler.refused = refused  # type: ignore[method-assign]
        self.receive(written(JOBS, x="x" * self.limit) + beat(1))
        self.assertEqual((self.sent(), self.handler.refs, at_last), (["message_too_large m"], [], []))
        callbacks[0]()
        self.assertEqual((self.sent(), at_last), (["message_too_large m", "1"], [ErrorCode.MESSAGE_TOO_LARGE]))
