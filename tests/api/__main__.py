"""Starts a node with an embedded database and crawlers, seeds it, and runs schemathesis against it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.api import ACCOUNTS, HOST
from tests.support.postgres import reachable_directory
from tests.support.server import TOKEN, ask_json, beside_python, free_port

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds in which the node must be ready."""
LONGEST = 900.0
"""Seconds in which schemathesis must end: several times what it needs."""
FAULT = re.compile(r"#(error|critical)\]")
"""In a line of the node's log that reports a failure of its own."""
CRAWLERS = ("c1", "c2")


@contextmanager
def running(arguments: list[str], environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, which is ended afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env={**os.environ, **environ}, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def seed(port: int) -> Mapping[str, list[str]]:
    """Have some of everything; the names of what there is, by kind."""

    def ask(method: str, path: str, body: Any = None) -> Any:
        status, answer = ask_json(port, f"/api/v1{path}", method, body)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    jobs = []
    for account in ACCOUNTS:
        ask("PUT", f"/accounts/{account}", {"provider": "gitlab-onprem", "gitlab_url": HOST, "access_token": "t"})
        given = [{"account_id": account, "command": "GROUP_PROJECT_DISCOVERY"}]
        for command in ("issues", "commits", "epics"):
            given += [{"account_id": account, "command": command, "full_path": f"acme/p{n}"} for n in range(10)]
        jobs += ask("POST", "/jobs", given)["ids"]
        ask("POST", f"/jobs/{jobs[-1]}/cancel")
        ask("POST", f"/jobs/{jobs[-2]}/pause")
    pauses = [
        ask("POST", "/pauses", {"scope": "path_prefix", "target": f"acme/p{n}", "reason": "seeded"})["id"]
        for n in range(5, 10)
    ]
    ask("PATCH", f"/hosts/{quote(HOST, safe='')}", {"max_running": 50})
    ask("PUT", "/budgets", {"gitlab_origin": HOST, "remaining": 900, "limit": 1000, "account_id": ACCOUNTS[0]})
    tokens = [f"seeded-{n}" for n in range(20)]
    for name in tokens:
        ask("POST", "/tokens", {"name": name, "role": "read"})
    return {
        "jobs": jobs,
        "accounts": list(ACCOUNTS),
        "crawlers": list(CRAWLERS),
        "pauses": pauses,
        "tokens": tokens,
        "origins": [HOST],
    }


def until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for the node. Raises AssertionError."""
    begun = time.monotonic()
    while ask_json(port, "/health/ready")[0] != 200:
        if process.poll() is not None or time.monotonic() > begun + PATIENCE:
            raise AssertionError("the node is not ready")
        time.sleep(0.2)


def bounded(command: list[str], environ: Mapping[str, str], directory: Path) -> int:
    """Run *command* in *directory*, for :data:`LONGEST` seconds at most; its exit status, 1 if it took longer."""
    try:
        return subprocess.run(
            command, env={**os.environ, **environ}, cwd=directory, check=False, timeout=LONGEST
        ).returncode
    except subprocess.TimeoutExpired as error:
        sys.stderr.write(f"{error}\n")
        return 1


def main(options: list[str]) -> int:
    """Run schemathesis with *options*; its exit status."""
    directory = reachable_directory()
    port = free_port()
    environ = {
        "PYTHONPATH": str(HERE.parents[1]),
        "SOCKET_PATH": str(directory / "c.sock"),
        "SOCKET_LOG_LEVEL": "error",
        "SOCKET_RETRY_DELAY": "200",
        "COPILOT_HTTP_PORT": str(port),
        "COPILOT_HTTP_TOKEN": TOKEN,
        "COPILOT_HTTP_RATE": "0",
        "COPILOT_STATE_DIR": str(directory / "state"),
    }
    log = directory / "node.log"
    status = 1
    try:
        with ExitStack() as stack:
            node = stack.enter_context(running([beside_python("copilot-socket"), "run"], environ, log))
            until_ready(node, port)
            for name in CRAWLERS:
                command = [sys.executable, "-m", "tests.api.crawler", environ["SOCKET_PATH"], name]
                stack.enter_context(running(command, environ, directory / f"{name}.log"))
            for kind, names in seed(port).items():
                (directory / f"{kind}.txt").write_text("".join(f'"{name}"\n' for name in names))
            (directory / "openapi.json").write_text(json.dumps(ask_json(port, "/api/v1/openapi.json")[1]))
            shutil.copy(HERE / "schemathesis.toml", directory)
            command = [beside_python("schemathesis"), "run", "openapi.json", "--url", f"http://127.0.0.1:{port}"]
            ended = bounded([*command, *options], environ, directory)
            status = ended or int(node.poll() is not None or FAULT.search(log.read_text()) is not None)
        return status
    finally:
        if status:
            sys.stderr.write(f"The node's output:\n{log.read_text()}\n")
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
