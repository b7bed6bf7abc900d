"""What needs a person: what is said of it, and in which order."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.attention import (
    LANES,
    Connections,
    Facts,
    HeldHost,
    Item,
    Lane,
    PausedAll,
    PausedPath,
    Some,
    attention,
)

AT = datetime(2026, 1, 5, 10, tzinfo=UTC)
LATER = datetime(2026, 1, 5, 11, tzinfo=UTC)
HOST = "https://gitlab.example"
_SOME = st.sampled_from([Some(), Some(1, AT, ["a"]), Some(30, None, [f"n{number}" for number in range(10)])])
FACTS = st.builds(
    Facts,
    expired=_SOME,
    waiting=st.integers(0, 2),
    expiring=_SOME,
    hosts=st.lists(st.builds(HeldHost, st.just(HOST), st.just(AT), st.sampled_from([AT, None])), max_size=12),
    quarantined=_SOME,
    failing=_SOME,
    silent=_SOME,
    ready=st.integers(0, 2),
    unroutable=st.dictionaries(st.sampled_from(["epics", "jobs"]), st.integers(1, 2)),
    connected=st.integers(0, 1),
    lanes=st.lists(
        st.builds(Lane, st.just("a"), st.just("issues"), st.integers(0, 9), st.just("why"), st.just(["limit"])),
        max_size=60,
    ),
    paths=st.lists(
        st.builds(PausedPath, st.just("acme"), st.just("me"), st.none(), st.just(AT), st.none()), max_size=12
    ),
    path_paused=st.integers(0, 2),
    gone=_SOME,
    operations=_SOME,
    error=st.sampled_from([None, "the database is read-only"]),
    connections=st.sampled_from([None, Connections(1, 100), Connections(99, 100)]),
)


class AttentionTests(SynchronousTestCase):
    """The list."""

    def only(self, facts: Facts) -> Item:
        """The single item of *facts*."""
        [item] = attention(facts)
        return item

    def test_nothing(self) -> None:
        """Where all is well, nothing needs a person: no jobs, or some that crawlers take."""
        self.assertEqual(attention(Facts()), [])
        self.assertEqual(attention(Facts(paths=[PausedPath("a", "ann", None, AT, None)])), [])
        self.assertEqual(attention(Facts(ready=7, connected=1, connections=Connections(5, 100))), [])

    def test_texts(self) -> None:
        """What is said of each kind."""
        for facts, kind, severity, text in (
            (
                Facts(error="the database is read-only"),
                "database",
                "urgent",
                "The node that answers can't do its work: the database is read-only",
            ),
            (
                Facts(connections=Connections(90, 100)),
                "database",
                "warning",
                "90 of 100 connections that PostgreSQL allows are taken (max_connections)",
            ),
            (
                Facts(paused=PausedAll("ann", "moves", AT, None)),
                "everything_paused",
                "warning",
                'Everything is paused by ann ("moves") until somebody ends it: no job is given to a crawler',
            ),
            (
                Facts(paused=PausedAll("ann", None, AT, LATER)),
                "everything_paused",
                "warning",
                "Everything is paused by ann until 2026-01-05T11:00:00Z: no job is given to a crawler",
            ),
            (Facts(ready=1), "no_crawlers", "urgent", "No crawler is connected, and 1 job is due"),
            (
                Facts(expired=Some(1, AT, ["me"]), waiting=2),
                "credential_expired",
                "urgent",
                "An account needs a new credential, as GitLab refuses the old one; 2 jobs wait for that",
            ),
            (
                Facts(expired=Some(2, None, ["me", "you"])),
                "credential_expired",
                "warning",
                "2 accounts need a new credential, as GitLab refuses the old one",
            ),
            (
                Facts(unroutable={"epics": 1, "jobs": 5000}, ready=5001, connected=1),
                "unroutable",
                "warning",
                "5,001 jobs are due, but no serving crawler takes them: jobs (5,000), epics (1)",
            ),
            (
                Facts(hosts=[HeldHost(HOST, AT, LATER)]),
                "host_held",
                "warning",
                f"{HOST} is unavailable, and its jobs are held back; the next probe is at 2026-01-05T11:00:00Z",
            ),
            (
                Facts(hosts=[HeldHost(HOST, AT, None), HeldHost("https://b.example", AT, None)]),
                "host_held",
                "warning",
                "2 GitLab hosts are unavailable, and their jobs are held back; the next job is sent to try it",
            ),
            (
                Facts(paths=[PausedPath("acme/a", "ann", "moves", AT, None)], path_paused=2),
                "path_paused",
                "warning",
                "2 queued jobs are held back:"
                ' acme/a with all below it is paused by ann ("moves") until somebody ends it',
            ),
            (
                Facts(paths=[PausedPath(name, "ann", None, AT, LATER) for name in ("acme/a", "b")], path_paused=1),
                "path_paused",
                "warning",
                "1 queued job is held back by 2 pauses of paths",
            ),
            (
                Facts(gone=Some(1, AT, ["9f1c"])),
                "node_gone",
                "warning",
                "A node has disappeared without being stopped; the others have taken over the jobs",
            ),
            (
                Facts(failing=Some(2, AT, ["c1", "c2"])),
                "crawler_failing",
                "warning",
                "2 crawlers have failed everything recently, and may have to be quarantined",
            ),
            (
                Facts(quarantined=Some(1, None, ["c1"])),
                "crawler_quarantined",
                "warning",
                "1 crawler is quarantined, and given no work until it is released",
            ),
            (
                Facts(silent=Some(1, AT, ["c1"])),
                "crawler_silent",
                "warning",
                "1 crawler has an open connection, but is silent",
            ),
            (
                Facts(operations=Some(1, AT, ["01K"])),
                "operation_failed",
                "warning",
                "1 bulk operation has failed within a day",
            ),
            (
                Facts(expiring=Some(1, AT, ["me"])),
                "credential_expiring",
                "warning",
                "1 token expires within 7 days, and can't be refreshed: no refresh token is stored",
            ),
            (
                Facts(expiring=Some(2, AT, ["me", "you"])),
                "credential_expiring",
                "warning",
                "2 tokens expire within 7 days (the first at 2026-01-05T10:00:00Z), and can't be refreshed:"
                " no refresh token is stored",
            ),
        ):
            item = self.only(facts)
            self.assertEqual((item.kind, item.severity, item.text), (kind, severity, text))
            self.assertIsNone(item.lanes)

    def test_lanes(self) -> None:
        """Those with most jobs come first; of more than are listed the number is not known."""
        item = self.only(
            Facts(
                lanes=[
                    Lane("a", "epics", 1, "w", ["host_held"]),
                    Lane("b", "issues", 7, "w", ["paused", "limit"]),
                    Lane("b", "jobs", 1, "w", ["paused"]),
                ]
            )
        )
        self.assertEqual([lane.queued for lane in item.lanes or ()], [7, 1, 1])
        self.assertEqual((item.count, item.names), (3, ["b", "a"]))
        self.assertEqual(item.text, "9 queued jobs are held back by pauses, limits and host holds")
        many = self.only(Facts(lanes=[Lane("a", str(number), 1, "w", ["budget"]) for number in range(LANES + 1)]))
        self.assertEqual((many.count, len(many.lanes or ())), (LANES, LANES))
        self.assertEqual(many.text, "More than 50 queued jobs are held back by budgets")

    @given(FACTS)
    def test_order(self, facts: Facts) -> None:
        """Urgent ones first; every item says how many, with up to ten names, and no full stop."""
        items = attention(facts)
        self.assertEqual([item.severity for item in items], sorted(item.severity for item in items))
        for item in items:
            self.assertTrue(item.count > 0 and len(item.names) <= 10 and not item.text.endswith("."), item)
