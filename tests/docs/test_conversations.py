"""What docs/protocol.md shows happens: its conversations are played, and its crawler crawls."""

import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.event_bus import JobChanged, JobsReported, StateEvent
from tests.docs.conversations import Bindings, Conversation, read
from tests.docs.node import PATIENCE, Connection, NodeTestCase

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
ANYTHING_ELSE = {"type": "anything_else", "timestamp": "the end"}


class ConversationTests(NodeTestCase):
    """Each conversation, word for word."""

    async def play(self, title: str) -> None:
        """Play the conversation under the heading *title*: every line of the server's, and no other."""
        [conversation] = [item for item in read(PROTOCOL) if item.title == title]
        connection = await self.connect()
        bindings = Bindings()
        for line in conversation.lines:
            match line.speaker:
                case "C":
                    _say(connection, conversation, bindings.fill(line.message))
                case "J":
                    self.put_in(line.message)
                    # The notification may come after what the crawler says next.
                    self.node.dispatcher.work_came([("acme", line.message["command"])])
                case _:
                    heard = await connection.hear()
                    self.assertIsNone(bindings.accept(line.message, heard))
        # Whatever else the server had to say would come before the answer to this.
        _say(connection, conversation, ANYTHING_ELSE)
        last = await connection.hear()
        self.assertEqual((last["type"], last["data"]["ref"]), ("error", "the end"))

    async def test_plain(self) -> None:
        """A plain crawler writes its messages back to back and gets a job, then nothing."""
        await self.play("A plain crawler, with nothing between its messages")
        self.assertEqual(
            self.query("SELECT status, resume_state ->> 'currentPage', progress -> 'finalCounts' FROM jobs"),
            [("completed", "2", {"issue": 31})],
        )

    async def test_hello(self) -> None:
        """A crawler with acks discovers a project and crawls its issues."""
        await self.play("A crawler that says `hello`, with acks")
        self.assertEqual(
            self.query("SELECT status, count(*) FROM jobs GROUP BY status ORDER BY status"),
            [("completed", 2), ("queued", 8)],
        )

    async def test_failure(self) -> None:
        """A job that failed comes again with its cursor, and its first attempt is fenced; an outage spends none."""
        await self.play("A failure and its retry")
        self.assertEqual(self.query("SELECT status, attempts, tries FROM jobs"), [("completed", 0, 2)])


class SmallestCrawlerTests(NodeTestCase):
    """The program that docs/protocol.md prints."""

    async def test_it_crawls(self) -> None:
        """Started as it is printed, it completes one job after the other, and ends with its connection."""
        done: Deferred[None] = Deferred()
        ids: list[str] = []

        def listener(change: StateEvent) -> None:
            for each in change.each() if isinstance(change, JobsReported) else [change]:
                if isinstance(each, JobChanged) and each.status == "completed":
                    ids.append(each.job_id)
                    if len(ids) == 2:
                        done.callback(None)

        self.node.bus.subscribe(listener)
        wanted = [self.put_in({"command": "issues", "full_path": path}) for path in ("acme/a", "acme/b")]
        [program] = re.findall(r"```python\n(.*?)```", PROTOCOL.read_text("utf-8"), re.DOTALL)
        process = _Process(program, str(self.socket_path))
        self.addCleanup(process.kill)
        await done.addTimeout(PATIENCE, reactor)
        self.assertEqual(ids, wanted)
        await self.node.stopService()
        self.assertEqual(await process.ended.addTimeout(PATIENCE, reactor), 0)


class ReadingTests(SynchronousTestCase):
    """The notation."""

    def test_none_is_forgotten(self) -> None:
        """The three that are played are all that there are."""
        titles = [conversation.title for conversation in read(PROTOCOL)]
        self.assertEqual(len(titles), 3)
        self.assertEqual(len(set(titles)), 3)
        self.assertEqual([conversation.undelimited for conversation in read(PROTOCOL)], [True, False, False])

    def test_a_name_keeps_its_value(self) -> None:
        """A placeholder that stood for one value is not taken for another."""
        bindings = Bindings()
        self.assertIsNone(bindings.accept({"id": "<job>.1.<try>"}, {"id": "A.1.x"}))
        self.assertEqual(bindings.fill(["<job>", 1]), ["A", 1])
        self.assertIn("/id", bindings.accept({"id": "<job>.2.<other>"}, {"id": "B.2.y"}) or "")

    def test_differences_are_found(self) -> None:
        """Another number, a missing or further field, and a list of another length are differences."""
        for template, value in [(1, 2), (True, 1), ({}, {"a": 1}), ({"a": 1}, {}), ([1], [1, 1]), ("a.", "ab")]:
            self.assertIsNotNone(Bindings().accept(template, value), (template, value))


def _say(connection: Connection, conversation: Conversation, message: dict[str, Any]) -> None:
    end = b"" if conversation.undelimited else b"\n"
    connection.transport.write(json.dumps(message, separators=(",", ":")).encode() + end)


class _Process(ProcessProtocol):
    """A Python program; ``ended`` fires with its exit status."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.ended: Deferred[int | None] = Deferred()
        self._process = reactor.spawnProcess(self, sys.executable, [sys.executable, "-c", program, *arguments])

    def processEnded(self, reason: Any) -> None:
        """It is over."""
        self.ended.callback(reason.value.exitCode)

    def kill(self) -> None:
        """End it, if it is not over."""
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")
