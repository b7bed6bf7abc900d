"""SIGKILL of a crawler: seconds from the end of the grace until another crawler has its job."""

import subprocess
import sys
import time

from benchmarks.bench import Node
from benchmarks.figures import Result
from benchmarks.suite import Run
from benchmarks.talk import Talk
from benchmarks.wire import Broken

GRACE = 500  # ms
_VICTIM = """
import sys
from benchmarks import wire
from benchmarks.talk import Talk
talk = Talk(sys.argv[1], sys.argv[2])
job = talk.request()
talk.send(wire.message("job_started", job.decode()))
talk.until(b'"type":"ack"')
print(job.decode(), flush=True)
sys.stdin.read()
"""


def measure(run: Run, result: Result) -> None:
    """Kill one crawler after another."""
    kills = run.size(full=5, quick=2)
    with run.bench.another_node("recovery", SOCKET_RECONNECT_GRACE=str(GRACE)) as node:
        node.clear()
        for number in range(run.rounds):
            for kill in range(kills):
                late = _kill(run, node, f"{number}-{kill}") - GRACE / 1000
                result.add("after the grace", "ms", late * 1000)
            run.say(f"round {number + 1}: {result.figures['after the grace'].median:.0f} ms after the grace")


def _kill(run: Run, node: Node, name: str) -> float:
    node.queue(f"recovery-{name}", 1)
    command = [sys.executable, "-c", _VICTIM, node.socket_path, f"victim-{name}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=run.bench.environment(), text=True
    ) as victim:
        assert victim.stdout is not None
        lost = victim.stdout.readline().strip()
        try:
            with Talk(node.socket_path, f"heir-{name}") as heir:
                if heir.request() is not None:
                    raise Broken("the job was sent to another crawler while its own lived")
                begun = time.perf_counter()
                victim.kill()
                job = heir.wait_for_job()
                seconds = time.perf_counter() - begun
                heir.complete(job)
        finally:
            victim.kill()
    if job.decode().partition(".")[0] != lost.partition(".")[0]:
        raise Broken(f"{lost} was lost, but {job!r} was sent")
    return seconds
