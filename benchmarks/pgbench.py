"""What PostgreSQL itself does with one claim and one completion, by its own pgbench: the yardstick."""

import re
import subprocess
import tempfile

from benchmarks.server import Server
from copilot_socket.store.embedded.binaries import packaged_programs

CLIENTS = 8

SETUP = """
CREATE TABLE yardstick (id bigint PRIMARY KEY, status text NOT NULL, holder text);
INSERT INTO yardstick SELECT n, 'queued', NULL FROM generate_series(1, {jobs}) AS n;
CREATE INDEX ON yardstick (id) WHERE status = 'queued';
VACUUM ANALYZE yardstick
"""

ONE_BY_ONE = """
UPDATE yardstick SET status = 'assigned', holder = 'x' WHERE id = (
  SELECT id FROM yardstick WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id \\gset
UPDATE yardstick SET status = 'completed' WHERE id = :id;
"""


def one_by_one(server: Server, seconds: int, jobs: int) -> float:
    """Jobs a second: claim one, complete one, 8 clients, each statement durable."""
    for statement in SETUP.format(jobs=jobs).split(";"):
        server.execute(statement)
    program = packaged_programs().bin / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(ONE_BY_ONE)
        script.flush()
        done = subprocess.run(
            [
                str(program),
                "-n",
                "-M",
                "prepared",
                "-c",
                str(CLIENTS),
                "-j",
                "2",
                "-T",
                str(seconds),
                "-f",
                script.name,
                server.dsn,
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
    server.execute("DROP TABLE yardstick")
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None:
        raise SystemExit(f"pgbench printed no figure:\n{done.stdout}")
    return float(found[1])
