"""The obvious server, for comparison: one durable SQL statement per message, a pool of 8 connections, no cache.

A program: ``python -m benchmarks.peers.plain_server SOCKET DSN``. It implements the part of the protocol that a
lifecycle needs, without access control.
"""

import sys
from typing import Any

import orjson
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from txpostgres.txpostgres import ConnectionPool

from benchmarks.contestant import WORKERS
from benchmarks.wire import TIMESTAMP

TABLE = """
CREATE TABLE jobs (id bigint PRIMARY KEY, path text NOT NULL, status text NOT NULL DEFAULT 'queued', holder text,
  assigned_at timestamptz, started_at timestamptz, completed_at timestamptz, counts jsonb)
  WITH (autovacuum_enabled = off);
CREATE INDEX jobs_queued ON jobs (id) WHERE status = 'queued'
"""
CLAIM = """
UPDATE jobs SET status = 'assigned', holder = %s, assigned_at = now() WHERE id = (
  SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, path
"""
START = "UPDATE jobs SET status = 'running', started_at = now() WHERE id = %s AND holder = %s RETURNING id"
COMPLETE = """
UPDATE jobs SET status = 'completed', completed_at = now(), counts = %s WHERE id = %s AND holder = %s RETURNING id
"""


class Plain(LineReceiver):
    """One crawler's connection; its messages are handled one after another."""

    delimiter = b"\n"

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._name = ""
        self._last: Deferred[Any] = succeed(None)

    def lineReceived(self, line: bytes) -> None:
        """Handle the message after the previous one."""
        message = orjson.loads(line)
        self._last.addCallback(lambda _: getattr(self, "do_" + message["type"])(message))
        self._last.addErrback(self._failed, message)

    def do_hello(self, message: dict[str, Any]) -> None:
        self._name = message["data"]["crawlerId"]
        self._send("welcome", protocolVersion="1")

    def do_job_request(self, message: dict[str, Any]) -> Any:
        return self._pool.runQuery(CLAIM, (self._name,)).addCallback(self._claimed)

    def do_job_started(self, message: dict[str, Any]) -> Any:
        d = self._pool.runQuery(START, (message["jobId"], self._name))
        return d.addCallback(self._stored, message)

    def do_job_completed(self, message: dict[str, Any]) -> Any:
        counts = orjson.dumps(message["data"]["finalCounts"]).decode()
        d = self._pool.runQuery(COMPLETE, (counts, message["jobId"], self._name))
        return d.addCallback(self._stored, message)

    def _claimed(self, rows: list[tuple[int, str]]) -> None:
        self._send(
            "job_response", jobs=[{"id": str(id_), "entityType": "issue", "entityId": path} for id_, path in rows]
        )

    def _stored(self, rows: list[tuple[int]], message: dict[str, Any]) -> None:
        if rows:
            self._send("ack", message["jobId"], type=message["type"], ref=message["timestamp"])
        else:
            self._send("error", message["jobId"], code="stale_assignment")

    def _failed(self, failure: Any, message: dict[str, Any]) -> None:
        self._send("error", message.get("jobId"), code="internal", message=failure.getErrorMessage())

    def _send(self, type_: str, job: str | None = None, **data: object) -> None:
        message: dict[str, object] = {"type": type_, "timestamp": TIMESTAMP, "data": data}
        if job is not None:
            message["jobId"] = job
        self.sendLine(orjson.dumps(message))


def main(path: str, dsn: str) -> None:
    """Serve until SIGTERM."""
    pool = ConnectionPool(None, dsn, min=WORKERS)

    def listen(_: object) -> None:
        factory = Factory.forProtocol(lambda: Plain(pool))
        reactor.listenUNIX(path, factory, backlog=2000)  # type: ignore[attr-defined]

    pool.start().addCallback(listen)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
