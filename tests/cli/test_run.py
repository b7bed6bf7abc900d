"""`copilot-socket run`."""

import signal

from tests.cli.support import CommandTestCase
from tests.support.crawler import until
from tests.support.server import NodeTestCase, ServerProcess, beside_python, get_json, run_program


class RunTests(NodeTestCase):
    """A node without a twistd on the path."""

    async def assert_runs(self, server: ServerProcess, arguments: list[str]) -> None:
        """A node started by *arguments* becomes ready on the port of *server*, and ends well."""
        program, process = run_program(arguments, server.environ, server.directory)
        self.addCleanup(lambda: process.signalProcess("KILL") if program.running else None)

        async def ready() -> bool:
            return (await get_json(server.port, "/health/ready"))[0] == 200

        await until(ready, "the node is ready")
        process.signalProcess(signal.SIGTERM)
        self.assertEqual(await program.ended, 0, program.err)

    async def test_a_node(self) -> None:
        """The node runs with options that override the environment, and the command ends with the node."""
        server = self.process(COPILOT_HTTP_PORT="1")
        await self.assert_runs(
            server, [beside_python("copilot-socket"), "run", "--copilot-http-port", str(server.port)]
        )

    async def test_closed_standard_output(self) -> None:
        """A node that logs to a file needs no standard output."""
        server = self.process()
        server.environ["SOCKET_LOG_FILE"] = str(server.directory / "log")
        await self.assert_runs(server, ["/bin/sh", "-c", 'exec "$0" run >&-', beside_python("copilot-socket")])
        self.assertIn("Stopped", (server.directory / "log").read_text())

    async def test_faults(self) -> None:
        """A faulty option is reported by its variable, with status 1."""
        server = self.process()
        arguments = [beside_python("copilot-socket"), "run", "--socket-mode", "9"]
        program, _ = run_program(arguments, server.environ, server.directory)
        self.assertEqual(await program.ended, 1)
        self.assertIn(b"SOCKET_MODE is '9' (option)", program.err)


class RunHelpTests(CommandTestCase):
    """Its command line."""

    def test_unknown_options(self) -> None:
        """What is no variable is refused before anything starts."""
        self.assertEqual(self.run_command("run", "--nonsense").status, 2)
