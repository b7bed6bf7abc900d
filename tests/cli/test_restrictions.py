"""``copilot-socket pauses``, ``accounts``, ``hosts``, ``budgets`` and ``jobs why`` against a real site."""

from copilot_socket.cli import accounts, budgets, hosts, jobs, pauses, stats
from copilot_socket.cli.errors import CommandError
from tests.cli.support import SiteCommandTestCase

ORIGIN = "https://gitlab.example"


class RestrictionCommandTests(SiteCommandTestCase):
    """As people type them."""

    async def test_pauses(self) -> None:
        """Added with an author and an end, listed, ended by scope and target or by id."""
        await self.account()
        self.assertIn("nothing is held back", await self.call(pauses, "list"))
        added = await self.call(
            pauses, "add", "account", "acme", "--reason", "moves", "--until", "2190-01-01T00:00:00Z"
        )
        self.assertIn("account acme is paused", added)
        listed = await self.call(pauses, "list")
        for word in ("account", "acme", "ann", "moves", "2190-01-01T00:00:00Z"):
            self.assertIn(word, listed)
        self.assertIn("account acme goes on", await self.call(pauses, "end", "account", "acme"))
        added = await self.call(pauses, "add", "everything")
        self.assertIn("everything goes on", await self.call(pauses, "end", added.split()[0]))
        with self.assertRaisesRegex(CommandError, "no such pause: path x"):
            await self.call(pauses, "end", "path", "x")
        with self.assertRaisesRegex(CommandError, "acount acme: must be ids of pauses, or everything, account"):
            await self.call(pauses, "end", "acount", "acme")

    async def test_a_time_from_now(self) -> None:
        """``--for`` takes seconds to days."""
        await self.account()
        await self.call(pauses, "add", "host", ORIGIN, "--for", "20000d")
        [(years,)] = self.query("SELECT extract(year FROM ends_at) - extract(year FROM now()) FROM pauses")
        self.assertIn(int(years), (54, 55))

    async def test_limits(self) -> None:
        """Of accounts and hosts; ``none`` removes them."""
        await self.account()
        shown = await self.call(accounts, "set", "acme", "--max-running", "3", "--weight", "7")
        self.assertEqual(shown.splitlines(), ["id: acme", "weight: 7", "max_running: 3"])
        self.assertIn("acme", await self.call(accounts, "list"))
        self.assertIn("max_running: -", await self.call(accounts, "set", "acme", "--max-running", "none"))
        self.assertIn("max_running: 9", await self.call(hosts, "set", ORIGIN, "--max-running", "9"))
        self.assertIn(ORIGIN, await self.call(hosts, "list"))

    async def test_budgets(self) -> None:
        """Set, listed and forgotten."""
        await self.account()
        self.assertIn("No budgets", await self.call(budgets, "list"))
        shown = await self.call(
            budgets, "set", ORIGIN, "--account-id", "acme", "--remaining", "300", "--limit", "1000"
        )
        self.assertIn("300 of 1000 requests are left: 30 jobs at a time", shown)
        self.assertIn("operator", await self.call(budgets, "list"))
        forgotten = await self.call(budgets, "forget", ORIGIN, "--account-id", "acme")
        self.assertEqual(forgotten, f"{ORIGIN} acme: forgotten\n")

    async def test_stats(self) -> None:
        """Jobs by state, what waits, and which commands nobody takes."""
        await self.account()
        await self.job()
        await self.job(command="epics")
        lines = [" ".join(line.split()) for line in (await self.call(stats)).splitlines()]
        for line in ("jobs queued 2", "queue ready 2", "queue held back 0", "queue unroutable 2 epics 1, issues 1"):
            self.assertIn(line, lines)
        self.assertIn("jobs queued 2", " ".join((await self.call(stats, "--account-id", "acme")).split()))
        self.assertIn("jobs queued 0", " ".join((await self.call(stats, "--user-id", "ann")).split()))

    async def test_jobs(self) -> None:
        """Why one does not run; it is paused and resumed."""
        await self.account()
        job = await self.job()
        self.assertIn("no crawler is connected", await self.call(jobs, "why", job))
        self.assertEqual(await self.call(jobs, "pause", job), f"{job}  paused\n")
        self.assertIn("paused on its own", await self.call(jobs, "why", job))
        self.assertEqual(await self.call(jobs, "resume", job), f"{job}  queued\n")
