"""The demo's story and result, without processes."""

import io

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.demo.display import Lines, Picture, Pictures, draw, for_console
from copilot_socket.demo.outcome import Line, Outcome, compare
from copilot_socket.demo.story import Loss, Story


def page(job: str, number: int, pages: int) -> dict[str, object]:
    """A crawler's event after a page."""
    return {"event": "page", "job": job, "entityType": "commit", "page": number, "pages": pages}


def start(job: str, number: int) -> dict[str, object]:
    """A crawler's event at the start of a job."""
    return {"event": "start", "job": job, "entityType": "commit", "page": number}


class StoryTests(SynchronousTestCase):
    """Which crawler is killed, and what counts as resuming."""

    def setUp(self) -> None:
        """Two crawlers may be killed, and there is one more."""
        self.story = Story(frozenset({"a", "b"}))

    def test_the_moment(self) -> None:
        """A killable crawler is killed with two pages done and two left; others never are."""
        for crawler, event in (
            ("a", page("j.1.x", 1, 9)),
            ("a", page("j.1.x", 8, 9)),
            ("plain", page("k.1.x", 2, 9)),
            ("a", {"event": "done", "job": "j.1.x"}),
        ):
            self.assertFalse(self.story.handle(crawler, event), event)
        self.assertTrue(self.story.handle("b", page("m.1.x", 2, 4)))
        self.assertEqual(self.story.loss, Loss("b", "m", "commit", 2))
        self.assertEqual(self.story.jobs_done, {"a": 1})

    def test_one_kill_is_enough(self) -> None:
        """After a kill no other crawler is killed."""
        self.story.handle("a", page("j.1.x", 2, 9))
        self.assertFalse(self.story.handle("b", page("k.1.x", 2, 9)))

    def test_last_words(self) -> None:
        """A page reported before the kill counts as done."""
        self.story.handle("a", page("j.1.x", 2, 9))
        self.story.handle("a", page("j.1.x", 3, 9))
        assert self.story.loss is not None
        self.assertEqual(self.story.loss.killed_page, 3)

    def test_going_on(self) -> None:
        """Another crawler that starts the same job after the last page went on; the first start counts."""
        self.story.handle("a", page("j.1.x", 2, 9))
        loss = self.story.loss
        assert loss is not None
        self.assertFalse(loss.went_on)
        self.assertIn("not resumed yet", str(loss))
        self.story.handle("b", start("k.1.x", 1))
        self.assertIsNone(loss.resumed_page)
        self.story.handle("c", start("j.2.y", 3))
        self.story.handle("b", start("j.3.z", 1))
        self.assertTrue(loss.went_on)
        self.assertEqual(str(loss), "job j (commit): a killed at page 2, resumed at page 3 by c")

    def test_from_the_beginning_is_not_going_on(self) -> None:
        """A job that starts from the beginning was not resumed."""
        self.assertFalse(Loss("a", "j", "commit", 2, 1, "b").went_on)
        self.assertFalse(Loss("a", "j", "commit", 2, 2, "b").went_on)


class OutcomeTests(SynchronousTestCase):
    """What counts as success."""

    loss = Loss("a", "j", "commit", 2, 3, "b")

    def outcome(self, **changes: object) -> Outcome:
        """A good one, but for *changes*."""
        good = {
            "lines": compare({"issue": 3}, {"issue": 3}),
            "loss": self.loss,
            "jobs": {"completed": 4, "failed": 0},
            "done": {"a": 4},
            "refreshes": 1,
            "seconds": 5.0,
            "directory": None,
        }
        return Outcome(**{**good, **changes})

    def test_all_is_well(self) -> None:
        """Everything crawled, every job completed, the lost one resumed, the token refreshed."""
        self.assertEqual(self.outcome().faults(), [])
        document = self.outcome().document()
        self.assertEqual((document["ok"], document["entities"]), (True, {"issue": {"crawled": 3, "held": 3}}))
        self.assertEqual(document["loss"]["resumed_page"], 3)

    def test_every_fault(self) -> None:
        """Every deviation is named."""
        for changes, fault in (
            ({"lines": compare({"issue": 2}, {"issue": 3})}, "issue: 2 crawled, 3 held"),
            ({"lines": compare({"issue": 4}, {"issue": 3})}, "issue: 4 crawled, 3 held"),
            ({"jobs": {"completed": 1, "failed": 2}}, "jobs that are not completed: 2 failed"),
            ({"loss": None}, "no crawler was killed"),
            ({"loss": Loss("a", "j", "commit", 2, 1, "b")}, "resumed at page 1"),
            ({"refreshes": 0}, "never refreshed"),
        ):
            [text] = self.outcome(**changes).faults()
            self.assertIn(fault, text)
            self.assertFalse(self.outcome(**changes).document()["ok"])

    def test_types_that_only_one_side_knows(self) -> None:
        """A type that was not crawled, and one that should not be there, each get a line."""
        self.assertEqual(compare({"b": 1}, {"a": 2}), [Line("a", 0, 2), Line("b", 1, 0)])

    def test_the_table(self) -> None:
        """The table shows both numbers, and where they differ."""
        console = Console(file=io.StringIO(), width=80)
        console.print(self.outcome(lines=compare({"issue": 2, "user": 1}, {"issue": 3, "user": 1})).table())
        rows = [line for line in console.file.getvalue().splitlines() if "│" in line]
        self.assertEqual([row.split("│")[-2].strip() for row in rows], ["NO", "yes"])


class DisplayTests(SynchronousTestCase):
    """What is seen."""

    def picture(self, seconds: float = 1.0, queued: int = 2) -> Picture:
        """Something to show."""
        crawler = {"id": "a", "connected": True, "active_jobs": ["x"], "system_status": "crawling"}
        return Picture({"queued": queued, "failed": 0}, [crawler], {"issue": 1}, {"issue": 3}, seconds)

    def test_a_pipe_gets_lines(self) -> None:
        """Without a terminal each change is a line, at most one a second, and no escape codes."""
        console = Console(file=io.StringIO())
        display = for_console(console)
        self.assertIsInstance(display, Lines)
        with display:
            display.say("Hello [world]")
            for seconds, queued in ((1.0, 2), (1.5, 1), (2.5, 1), (9.0, 1)):
                display.show(self.picture(seconds, queued))
        self.assertEqual(
            console.file.getvalue().splitlines(),
            [
                "Hello [world]",
                "  1.0 s  jobs: 2 queued; entities: 1 of 3",
                "  2.5 s  jobs: 1 queued; entities: 1 of 3",
            ],
        )

    def test_a_terminal_gets_pictures(self) -> None:
        """On a terminal queue, crawlers and entities are drawn."""
        console = Console(file=io.StringIO(), force_terminal=True, width=120)
        display = for_console(console)
        self.assertIsInstance(display, Pictures)
        with display:
            display.show(self.picture())
        console = Console(file=io.StringIO(), width=120)
        console.print(draw(self.picture()))
        for word in ("queued", "crawling", "issue"):
            self.assertIn(word, console.file.getvalue())
