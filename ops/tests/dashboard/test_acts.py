"""A crawl watched live, and acts on jobs: each shows its result and its row of the audit log."""

import re
from typing import Any

from ops.tests.dashboard.browser import Chromium, DashboardTestCase, act, dialog_of, in_node, messages_of, shown
from ops.tests.dashboard.world import BROKEN, WorldTestCase
from ops.tests.pages import in_chromium
from tests.support.crawler import in_reactor
from tests.support.postgres import admin


def _audited(page: Any, text: str) -> None:
    """The page says *text*, with the row of the audit log."""
    said = messages_of(page).locator(".notice").filter(has_text=text)
    shown(said.get_by_role("link", name="Audit row ")).to_be_visible()


@in_chromium
class CrawlTests(DashboardTestCase):
    """A crawl is watched."""

    @in_reactor()
    async def test_crawl(self) -> None:
        """A job is submitted in a dialog; the open list and the job's page follow it to its end by themselves."""
        node = await self.node()

        def watch(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs")
            page.evaluate("window.loaded = 1")
            act(page, "Submit a job").click()
            dialog = dialog_of(page)
            dialog.get_by_label("Account").fill("acct")
            dialog.get_by_label("Command").select_option("issues")
            dialog.get_by_label("Group or project").fill("acme/shop")
            act(dialog, "Submit").click()
            shown(dialog).to_contain_text("The job is queued")
            act(dialog, "Close").first.click()
            _audited(page, "The job is queued")
            row = page.get_by_role("row").filter(has_text="acme/shop")
            shown(row).to_contain_text("queued")

            job_page = chromium.tab(page.context.new_page())
            job_page.goto("/jobs")
            job_page.get_by_role("link", name="issues of acme/shop").click()
            shown(job_page.get_by_role("heading", level=1)).to_have_text("issues of acme/shop")
            why = job_page.get_by_role("region", name="Why")
            shown(why).to_contain_text("queued")
            assert job_page.locator("main section").first.get_attribute("aria-label") == "Why"
            job_page.evaluate("window.loaded = 1")

            crawler = in_node(self.directed, node)
            shown(row).to_contain_text("running")
            shown(why).to_contain_text("running")
            in_node(crawler.step, "acme/shop", 50)
            for place in (row, why):
                shown(place).to_contain_text("50 of 200 (25 %)")
            in_node(crawler.step, "acme/shop", None)
            shown(row).to_contain_text("completed")
            shown(why.get_by_role("status")).to_contain_text("ompleted")
            attempts = job_page.get_by_role("table", name="Attempts")
            shown(attempts.get_by_role("row").nth(1)).to_contain_text("c1")
            for each in (page, job_page):
                assert each.evaluate("window.loaded") == 1, "it was loaded again"

        await self.browse(node.port, watch)


FAILED = """INSERT INTO jobs (account_id, command, full_path, status, started_at, finished_at)
SELECT 'acct', 'issues', 'acme/' || n, 'failed', now(), now() FROM generate_series(1, %s) AS n"""


@in_chromium
class ActTests(DashboardTestCase):
    """Acts on jobs."""

    @in_reactor()
    async def test_cancel(self) -> None:
        """A job is cancelled, after it was asked once whether it should be; "Back" changes nothing."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")

        def cancel(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto(f"/jobs/{job}")
            button = act(page, "Cancel issues of acme/shop1")
            button.click()
            shown(dialog_of(page)).to_contain_text("To undo this, use Retry.")
            act(dialog_of(page), "Back").click()
            shown(dialog_of(page)).to_have_count(0)
            assert self.status_of(job) == "queued"
            button.click()
            act(dialog_of(page), "Cancel").click()
            shown(dialog_of(page)).to_have_count(0)
            _audited(page, "The job is cancelled")
            shown(page.get_by_role("region", name="Why")).to_contain_text("cancelled")
            shown(button).to_have_count(0)
            shown(act(page, "Retry issues of acme/shop1")).to_be_visible()

        await self.browse(node.port, cancel)
        self.assertEqual(self.status_of(job), "cancelled")
        self.assertEqual(self._audit(), [("job.cancel", job)])

    def _audit(self) -> list[Any]:
        """What is in the audit log, but for the signing in."""
        return self.query("SELECT action, target FROM audit_log WHERE action <> 'session.start' ORDER BY id")

    @in_reactor()
    async def test_pause_everything(self) -> None:
        """A pause needs a reason, which a job's page shows; when it ends the job goes out."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")
        await self.directed(node)
        self.query("UPDATE jobs SET status = 'paused'")

        def pause(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/")
            act(page, "Pause everything").click()
            act(dialog_of(page), "Pause").click()
            shown(dialog_of(page)).to_be_visible()  # without a reason nothing is sent
            dialog_of(page).get_by_label("Reason").fill("GitLab is being upgraded")
            act(dialog_of(page), "Pause").click()
            _audited(page, "Paused: everything")
            shown(page.get_by_role("region", name="Needs a person")).to_contain_text("GitLab is being upgraded")
            job_page = chromium.tab(page.context.new_page())
            job_page.goto(f"/jobs/{job}")
            act(job_page, "Resume issues of acme/shop1").click()
            why = job_page.get_by_role("region", name="Why")
            shown(why).to_contain_text("GitLab is being upgraded")
            act(page, "End the pause of everything").first.click()
            _audited(page, "The pause of everything has ended")
            shown(act(page, "Pause everything")).to_be_visible()
            shown(why).to_contain_text("running")

        await self.browse(node.port, pause)
        self.assertEqual([action for action, *_ in self._audit()], ["pause.add", "job.resume", "pause.end"])

    @in_reactor(300)
    async def test_bulk_retry(self) -> None:
        """10,000 failed jobs are retried: all that match are chosen, counted first, and followed to the result."""
        node = await self.node()
        self.query(FAILED, 10_000)

        def retry(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs?status=failed")
            page.get_by_label("Select all rows of this page").check()
            act(page, "Choose all 10,000 jobs that match").click()
            chosen = page.get_by_role("region", name="Chosen jobs")
            shown(chosen).to_contain_text("All 10,000 jobs that match")
            act(chosen, "Retry…").click()
            dialog = dialog_of(page)
            shown(dialog).to_contain_text("10,000 jobs: failed 10,000")
            act(dialog, "Retry 10,000 jobs").click()
            progress = dialog.get_by_role("progressbar")
            shown(progress).to_be_visible()
            shown(dialog.get_by_role("status")).to_contain_text("done 10,000 changed of 10,000", timeout=120_000)
            shown(dialog.get_by_role("link", name="Audit row ")).to_be_visible()
            dialog.get_by_role("button", name="Close").last.click()
            shown(page.get_by_text("No job matches.")).to_be_visible()

        await self.browse(node.port, retry)
        self.assertEqual(self.count("queued"), 10_000)
        [(target,)] = self.query("SELECT id FROM operations")
        self.assertEqual(self._audit(), [("operation.start", target), ("operation.end", target)])

    @in_reactor(300)
    async def test_abort(self) -> None:
        """An operation that runs is aborted: what it has changed stays so, and the rest is as it was."""
        node = await self.node()
        self.query(FAILED, 1_000)

        def abort(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/jobs?status=failed")
            page.get_by_label("Select all rows of this page").check()
            act(page, "Choose all 1,000 jobs that match").click()
            # Jobs are walked from the newest down: somebody else holds the oldest, so that the operation can't end.
            with admin(self.database_url) as other, other.cursor() as cursor:
                cursor.execute("BEGIN; SELECT id FROM jobs ORDER BY id LIMIT 1 FOR UPDATE")
                act(page, "Retry…").click()
                dialog = dialog_of(page)
                act(dialog, "Retry 1,000 jobs").click()
                shown(dialog.get_by_role("status")).to_contain_text(re.compile(r"running [5-9]\d\d changed"))
                act(dialog, "Abort").click()
                shown(dialog.get_by_role("status")).to_contain_text("aborted")
                cursor.execute("ROLLBACK")
            shown(act(dialog, "Abort")).to_have_count(0)

        await self.browse(node.port, abort)
        self.assertEqual(self.count("queued") + self.count("failed"), 1_000)
        self.assertGreater(self.count("failed"), 0)
        self.assertEqual([action for action, *_ in self._audit()], ["operation.start", "operation.abort"])

    @in_reactor()
    async def test_conflict(self) -> None:
        """Of two people who cancel one job the second reads the server's words, and the page shows what is so now."""
        node = await self.node()
        [job] = self.add_jobs(prefix="acme/shop")

        def race(chromium: Chromium) -> list[str]:
            first, second = pages = [chromium.visit(), chromium.visit()]
            for page in pages:
                page.goto(f"/jobs/{job}")
                act(page, "Cancel issues of acme/shop1").click()
            act(dialog_of(first), "Cancel").click()
            _audited(first, "The job is cancelled")
            why = second.get_by_role("region", name="Why")
            shown(why).to_contain_text("cancelled")  # it was told by an event, behind the dialog
            act(dialog_of(second), "Cancel").click()
            refused = dialog_of(second).get_by_role("alert")
            words = str(refused.text_content())
            act(dialog_of(second), "Back").click()
            shown(act(second, "Cancel issues of acme/shop1")).to_have_count(0)
            act(second, "Retry issues of acme/shop1").click()
            _audited(second, "The job is queued again")
            shown(first.get_by_role("region", name="Why")).to_contain_text("queued")
            return [words, *second.watched.failed]

        words = await self.browse(node.port, race)
        refused = f"409 POST /api/v1/jobs/{job}/cancel"
        self.assertEqual(words, ["cancel is not allowed: the job is cancelled", refused])


@in_chromium
class AccountTests(WorldTestCase):
    """Acts on accounts and on groups of errors."""

    @in_reactor(300)
    async def test_pause(self) -> None:
        """An account is paused for a reason, which its page and its jobs show, until the pause is ended there."""
        node, _ = await self.world()
        [(job,)] = self.query("SELECT id FROM jobs WHERE full_path = 'acme/archive/2019'")

        def pause(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/accounts/web-team")
            page.get_by_role("button", name="Pause account web-team").click()
            dialog_of(page).get_by_label("Reason").fill("Its owner is on holiday")
            act(dialog_of(page), "Pause").click()
            _audited(page, "Paused: account web-team")
            paused = page.get_by_role("region", name="Pauses")
            shown(paused).to_contain_text("Its owner is on holiday")
            shown(page.get_by_role("region", name="Lanes")).to_contain_text("Its owner is on holiday")
            other = chromium.tab(page.context.new_page())
            other.goto("/pauses")
            shown(other.get_by_role("row").filter(has_text="account web-team")).to_be_visible()
            act(paused, "End the pause of account web-team").click()
            _audited(page, "The pause of account web-team has ended")
            shown(paused.filter(has_text="holiday")).to_have_count(0)
            shown(other.get_by_role("row").filter(has_text="account web-team")).to_have_count(0)  # it was told

        await self.browse(node.port, pause)
        self.assertEqual(self.status_of(str(job)), "queued")

    @in_reactor(300)
    async def test_credential(self) -> None:
        """A credential that GitLab refuses is renewed: the jobs that waited for that run."""
        node, _ = await self.world()

        def renew(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/")
            page.get_by_role("region", name="Needs a person").get_by_role("link", name="old-team").click()
            shown(page.get_by_role("region", name="Credential")).to_contain_text("GitLab refuses the credential")
            act(page, "Renew the credential of old-team").click()
            shown(dialog_of(page)).to_contain_text("1 job waits for that")
            dialog_of(page).get_by_label("Access token").fill("glpat-new")
            act(dialog_of(page), "Renew").click()
            _audited(page, "The credential of old-team is renewed")
            shown(page.get_by_role("region", name="Credential")).to_contain_text("valid")
            shown(page.get_by_role("region", name="Lanes")).not_to_contain_text("no live jobs")
            page.goto("/jobs?account_id=old-team")
            shown(page.get_by_role("row").filter(has_text="legacy/app")).to_contain_text("running")
            assert "glpat-new" not in page.content()

        await self.browse(node.port, renew)

    @in_reactor(300)
    async def test_errors(self) -> None:
        """What a group of errors has failed is retried from its page, and followed to the end."""
        node, crawler = await self.world()

        def retry(chromium: Chromium) -> None:
            page = chromium.visit()
            page.goto("/errors")
            page.get_by_role("table", name="rror").get_by_role("link").first.click()
            page.get_by_role("button", name="Retry the jobs that error").click()
            shown(dialog_of(page)).to_contain_text("1 job")
            act(dialog_of(page), "Retry").click()
            shown(dialog_of(page).get_by_role("status")).to_contain_text("done 1 changed of 1")
            shown(dialog_of(page).get_by_role("link", name="Audit row ")).to_be_visible()
            dialog_of(page).get_by_role("button", name="Close").last.click()
            _audited(page, "The jobs are being queued again")
            in_node(crawler.step, BROKEN, None)
            page.goto("/jobs?search=legacy-api")
            shown(page.get_by_role("row").filter(has_text=BROKEN)).to_contain_text("completed")

        await self.browse(node.port, retry)
