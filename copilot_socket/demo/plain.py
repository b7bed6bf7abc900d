"""The plain crawler behaves like an old program without ``hello``. It shares no code with the client.

It writes messages back to back, without delimiters; finds the end of received messages by counting braces, even in
strings; requests a job every 5 s while it has none; runs one job at a time; and keeps a second, silent connection.

``python -m copilot_socket.demo.plain --socket PATH --out DIR`` crawls until it is stopped.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from copilot_socket.demo.asking import NoAnswer, ask
from copilot_socket.demo.crawling import Response, Trouble, crawl
from copilot_socket.demo.events import emit
from copilot_socket.demo.files import write_page
from copilot_socket.demo.growth import Entity

Message = dict[str, Any]
POLL = 5.0
HEARTBEAT = 10.0
RECONNECT = 1.0
TOKEN_PATIENCE = 15.0


class BraceCounter:
    """Splits its input at matching braces and ignores strings, as old programs do."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> list[Message]:
        """The messages that *text* completes."""
        self._text += text
        messages = []
        depth = start = end = 0
        for index, character in enumerate(self._text):
            if character == "{":
                start = index if depth == 0 else start
                depth += 1
            elif character == "}" and depth > 0:
                depth -= 1
                if depth == 0:
                    end = index + 1
                    messages.append(json.loads(self._text[start:end]))
        self._text = self._text[end:]
        return messages


class PlainCrawler:
    """The crawler, which reconnects and runs at most one job."""

    def __init__(self, socket: str, out: Path, poll: float = POLL, heartbeat: float = HEARTBEAT) -> None:
        self._socket = socket
        self._out = out
        self._poll = poll
        self._heartbeat = heartbeat
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._token: asyncio.Future[str] | None = None
        self._processed = 0

    async def run(self) -> None:
        """Crawl until cancelled."""
        timers = [
            asyncio.create_task(self._every(self._poll, self._ask)),
            asyncio.create_task(self._every(self._heartbeat, self._beat)),
        ]
        try:
            while True:
                with suppress(OSError):
                    await self._converse()
                await asyncio.sleep(RECONNECT)
        finally:
            for task in (*timers, self._working):
                if task is not None:
                    task.cancel()

    async def _converse(self) -> None:
        """Serve one connection until it ends, with a silent one open meanwhile."""
        _unread, mute = await asyncio.open_unix_connection(self._socket)
        try:
            reader, self._writer = await asyncio.open_unix_connection(self._socket)
            self._connected.set()
            # The first request of a connection is sent even while a job runs.
            self._write("job_request", {"limit": 1})
            counter = BraceCounter()
            while chunk := await reader.read(65536):
                for message in counter.feed(chunk.decode("utf-8", "replace")):
                    self._receive(message)
        finally:
            self._connected.clear()
            for writer in (mute, self._writer):
                if writer is not None:
                    writer.close()
            self._writer = None

    async def _every(self, interval: float, act: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(interval)
            act()

    @property
    def _busy(self) -> bool:
        return self._working is not None and not self._working.done()

    def _ask(self) -> None:
        if not self._busy:
            self._write("job_request", {"limit": 1})

    def _beat(self) -> None:
        status = "crawling" if self._busy else "idle"
        data = {"activeJobs": int(self._busy), "totalProcessed": self._processed, "systemStatus": status}
        self._write("heartbeat", data)

    def _write(self, kind: str, data: Mapping[str, Any], job: str | None = None) -> None:
        """Write if there is a connection; else drop the message."""
        if self._writer is not None:
            message: Message = {"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": data}
            if job is not None:
                message["jobId"] = job
            self._writer.write(json.dumps(message, ensure_ascii=False).encode())

    async def report(self, kind: str, data: Mapping[str, Any], job: str) -> None:
        """Write a report, on this connection or the next."""
        await self._connected.wait()
        self._write(kind, data, job)
        if self._writer is not None:
            with suppress(OSError):
                await self._writer.drain()

    def _receive(self, message: Message) -> None:
        data = message.get("data") or {}
        if message["type"] == "job_response" and data.get("jobs") and not self._busy:
            self._working = asyncio.create_task(self._work(data["jobs"][0]))
        elif message["type"] == "token_refresh_response" and self._token is not None and not self._token.done():
            self._token.set_result(data["accessToken"] if data.get("refreshSuccessful") else "")
        elif message["type"] == "error":
            emit("error", code=data.get("code"), message=data.get("message"))

    async def _work(self, job: Message) -> None:
        await self.report("job_started", {"entityType": job["entityType"], "entityId": job["entityId"]}, job["id"])
        try:
            counts = await crawl(PlainDesk(self, job, self._out))
        except Trouble as trouble:
            data = {"error": str(trouble), "errorType": "Trouble", "isRecoverable": trouble.recoverable}
            await self.report("job_failed", data, job["id"])
            return
        self._processed += sum(counts.values())
        await self.report("job_completed", {"success": True, "finalCounts": counts}, job["id"])
        emit("done", job=job["id"], entityType=job["entityType"])

    async def new_token(self, job: str) -> str:
        """Request a token, and wait 15 s, as old programs do. Raises :class:`Trouble`."""
        self._token = asyncio.get_running_loop().create_future()
        await self.report("token_refresh_request", {"current_token_expired": True}, job)
        try:
            token = await asyncio.wait_for(self._token, TOKEN_PATIENCE)
        except TimeoutError:
            token = ""
        if not token:
            raise Trouble("no new token", recoverable=True)
        return token


class PlainDesk:
    """The desk for one job of the plain crawler."""

    def __init__(self, crawler: PlainCrawler, job: Message, out: Path) -> None:
        self._crawler = crawler
        self._gitlab_url = job["gitlabUrl"].rstrip("/")
        self._token = job["accessToken"]
        self._out = out
        self.job_id: str = job["id"]
        self.entity_type: str = job["entityType"]
        self.entity_id: str = job["entityId"]
        self.resume_state: Mapping[str, Any] = job.get("resumeState") or {}

    async def get(self, path: str) -> Response:
        """One request, in a thread."""
        return await asyncio.to_thread(_get, self._gitlab_url + path, self._token)

    async def refresh_token(self) -> None:
        """Request a new token."""
        self._token = await self._crawler.new_token(self.job_id)

    async def save(self, page: int, entities: list[Entity]) -> None:
        """Write in a thread."""
        await asyncio.to_thread(write_page, self._out, self.entity_type, self.job_id, page, entities)

    async def progress(self, processed: int, total: int | None, resume_state: dict[str, Any] | None) -> None:
        """Report progress, without an acknowledgement."""
        data: dict[str, Any] = {"stage": "fetching", "entityType": self.entity_type, "processed": processed}
        if total is not None:
            data["total"] = total
        if resume_state is not None:
            data["resumeState"] = resume_state
            data["currentPage"] = resume_state["currentPage"]
        await self._crawler.report("job_progress", data, self.job_id)

    async def discovered(self, jobs: list[dict[str, str]]) -> None:
        """Report discovered jobs."""
        await self._crawler.report("jobs_discovered", {"discovered_jobs": jobs}, self.job_id)


def _get(url: str, token: str) -> Response:
    try:
        found = ask(url, token=token)
    except NoAnswer as problem:
        raise Trouble(str(problem), recoverable=True) from problem
    return Response(found.status, found.headers, found.body)


async def _crawl_until_stopped(crawler: Callable[[], PlainCrawler]) -> None:
    running = asyncio.create_task(crawler().run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


def main() -> None:
    """Crawl until SIGTERM."""
    parser = argparse.ArgumentParser(prog="copilot_socket.demo.plain", description=__doc__)
    parser.add_argument("--socket", required=True, help="path of the server's UNIX socket")
    parser.add_argument("--out", required=True, type=Path, help="where the JSON lines go")
    parser.add_argument("--poll", type=float, default=POLL, help="seconds between job requests")
    arguments = parser.parse_args()
    asyncio.run(_crawl_until_stopped(lambda: PlainCrawler(arguments.socket, arguments.out, arguments.poll)))


if __name__ == "__main__":
    main()
