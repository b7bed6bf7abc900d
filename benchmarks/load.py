"""Crawlers that do nothing but talk: as light as Python allows, so that the server is what is measured."""

import asyncio
import json
import time
from collections.abc import Callable

import attrs


def message(type_: str, job: str | None = None, **data: object) -> bytes:
    """One message, newline-ended."""
    body: dict[str, object] = {"type": type_, "timestamp": "2026-01-01T00:00:00Z", "data": data}
    if job is not None:
        body["jobId"] = job
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


REQUEST = message("job_request")


@attrs.define
class Tally:
    """What the crawlers of one measurement got done."""

    wanted: int
    done: int = 0
    assignments: set[str] = attrs.field(factory=set)
    finished: asyncio.Event = attrs.field(factory=asyncio.Event)


async def connect(path: str, name: str, jobs: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A crawler that has said hello and was welcomed."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(message("hello", crawlerId=name, maxJobs=jobs, capabilities=["ack"]))
    answer = json.loads(await reader.readline())
    if answer["type"] != "welcome":
        raise SystemExit(f"no welcome: {answer}")
    return reader, writer


async def lifecycles(path: str, crawlers: int, jobs_each: int, wanted: int) -> float:
    """Request, started, completed, acknowledged, until *wanted* jobs are done; seconds it took."""
    tally = Tally(wanted)
    links = [await connect(path, f"load-{number}", jobs_each) for number in range(crawlers)]
    begun = time.perf_counter()
    tasks = [asyncio.create_task(_crawl(reader, writer, tally)) for reader, writer in links]
    waiter = asyncio.create_task(tally.finished.wait())
    ended, _ = await asyncio.wait([waiter, *tasks], timeout=300, return_when=asyncio.FIRST_COMPLETED)
    seconds = time.perf_counter() - begun
    for task in tasks:
        task.cancel()
    if waiter not in ended:
        raise SystemExit(f"a crawler stopped: {[task.exception() for task in ended] or 'out of time'}")
    for _, writer in links:
        writer.close()
    return seconds


async def _crawl(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally) -> None:
    writer.write(REQUEST)
    while line := await reader.readline():
        answer = json.loads(line)
        if answer["type"] == "job_response":
            for job in answer["data"]["jobs"]:
                if job["id"] in tally.assignments:
                    raise SystemExit(f"{job['id']} was handed out twice")
                tally.assignments.add(job["id"])
                writer.write(
                    message("job_started", job["id"])
                    + message("job_completed", job["id"], success=True, finalCounts={"issue": 1})
                )
        elif answer["type"] == "ack":
            if answer["data"]["type"] == "job_completed":
                tally.done += 1
                if tally.done >= tally.wanted:
                    tally.finished.set()
                writer.write(REQUEST)
        elif answer["type"] == "error":
            raise SystemExit(f"an error: {answer}")


async def dispatch(path: str, submit: Callable[[int], float], rounds: int) -> list[float]:
    """Seconds from *submit* (which returns when it began, by ``perf_counter``) until an idle crawler has the job."""
    reader, writer = await connect(path, "idle", 1)
    times = []
    for number in range(rounds):
        writer.write(REQUEST)
        while json.loads(await reader.readline())["type"] != "job_response":
            pass
        begun = asyncio.get_running_loop().run_in_executor(None, submit, number)
        job = await _next_job(reader)
        received = time.perf_counter()
        times.append(received - await begun)
        writer.write(message("job_completed", job, success=True, finalCounts={}))
        while json.loads(await reader.readline())["type"] != "ack":
            pass
    writer.close()
    return times


async def _next_job(reader: asyncio.StreamReader) -> str:
    while True:
        answer = json.loads(await reader.readline())
        if answer["type"] == "job_response" and answer["data"]["jobs"]:
            return str(answer["data"]["jobs"][0]["id"])
