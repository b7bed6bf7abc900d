"""Scheduling: turns of accounts."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.scheduling import MAX_PLANNED, Allotment, Request, Scheduler

ALL = frozenset({"issues", "commits", "users"})
SOME = frozenset({"issues"})


class Queues:
    """Queued jobs by lane, from which the plans of a scheduler are claimed."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.jobs: Counter[tuple[str, str]] = Counter()

    def put(self, account: str, number: int = 1, command: str = "issues", weight: int | None = None) -> None:
        """Queue jobs, and add their lane to the scheduler."""
        self.jobs[account, command] += number
        self.scheduler.add(account, command, weight)

    def claim(self, *requests: Request) -> list[tuple[str, str]]:
        """Plan and claim once; account and crawler of each job, grouped by account."""
        taken: list[tuple[str, str]] = []
        for allotment in self.scheduler.plan(requests):
            assert allotment.commands  # else the turn is wasted
            lanes = [(allotment.account, command) for command in allotment.commands]
            there = sum(self.jobs[lane] for lane in lanes)
            claimed = min(there, len(allotment.crawlers))
            for crawler in allotment.crawlers[:claimed]:
                self.jobs[max(lanes, key=lambda lane: self.jobs[lane])] -= 1
                taken.append((allotment.account, crawler))
            self.scheduler.settle(allotment, tried=True, exhausted=claimed == there)
        return taken

    def serve(self, jobs: int, commands: frozenset[str] = ALL) -> list[str]:
        """The accounts of the next *jobs* jobs of a crawler that requests one at a time."""
        return [account for _ in range(jobs) for account, _ in self.claim(Request("c", commands, 1))]


class TurnTests(SynchronousTestCase):
    """Turns, by example."""

    def setUp(self) -> None:
        self.queues = Queues()

    def test_accounts_take_turns(self) -> None:
        """Accounts take turns, however many jobs each has."""
        self.queues.put("c", 2)
        self.queues.put("b", 1000)
        self.queues.put("a", 1000)
        self.assertEqual("".join(self.queues.serve(9)), "abcabcaba")

    def test_a_new_account_is_next(self) -> None:
        """The first job of a new account is next, whatever the others have queued."""
        self.queues.put("a", 1000)
        self.queues.put("b", 1000)
        self.queues.serve(5)
        self.queues.put("new", 2)
        self.assertEqual(self.queues.serve(4), ["new", "a", "b", "new"])

    def test_once_a_round(self) -> None:
        """An account that ran out of jobs and gets more does not overtake those that have not had their turn."""
        for account in "cba":
            self.queues.put(account, 10)
        self.queues.put("busy", 1)
        served = []
        for _ in range(8):
            served += self.queues.serve(1)
            self.queues.put("busy", 1)
        self.assertEqual(served, ["busy", "a", "b", "c", "busy", "a", "b", "c"])

    def test_by_weight(self) -> None:
        """A turn is as many jobs as the weight, in one plan or in several."""
        self.queues.put("b", 100, weight=1)
        self.queues.put("a", 100, weight=3)
        self.assertEqual("".join(self.queues.serve(8)), "aaabaaab")
        [a, b] = self.queues.scheduler.plan([Request("c", ALL, 8)])
        self.assertEqual((a.account, len(a.crawlers), b.account, len(b.crawlers)), ("a", 6, "b", 2))

    def test_a_weight_is_kept(self) -> None:
        """A weight stays, also while the account has no work, until another one is given."""
        self.queues.put("a", 1, weight=2)
        self.queues.serve(1)
        self.queues.put("a", 9)
        self.queues.put("b", 9)
        self.assertEqual("".join(self.queues.serve(6)), "baabaa")
        self.queues.put("a", 9, weight=1)
        self.assertEqual("".join(self.queues.serve(4)), "baba")

    def test_crawlers_take_turns(self) -> None:
        """Each crawler gets one job before any gets a second."""
        self.queues.put("a", 100)
        [allotment] = self.queues.scheduler.plan([Request("c", ALL, 3), Request("d", ALL, 1), Request("e", ALL, 2)])
        self.assertEqual(allotment.crawlers, ["c", "d", "e", "c", "e", "c"])

    def test_a_plan_is_bounded(self) -> None:
        """A plan has at most MAX_PLANNED jobs, whatever is requested."""
        self.queues.put("a", 1)
        [allotment] = self.queues.scheduler.plan([Request(f"c{n}", ALL, 100) for n in range(100)])
        self.assertEqual(len(allotment.crawlers), MAX_PLANNED)

    def test_a_shortfall(self) -> None:
        """Jobs that one account did not have are taken from another in the next plan."""
        self.queues.put("a", 1000)
        self.queues.put("b", 1)
        request = Request("c", ALL, 10)
        self.assertEqual(Counter(account for account, _ in self.queues.claim(request)), {"a": 5, "b": 1})
        self.assertEqual(Counter(account for account, _ in self.queues.claim(request)), {"a": 10})

    def test_only_what_is_taken(self) -> None:
        """Lanes that no request takes are in no plan, and are served once one does."""
        self.queues.put("a", 5, "users")
        self.queues.put("b", 5, "issues")
        self.assertEqual(self.queues.serve(2, SOME), ["b", "b"])
        self.assertFalse(self.queues.scheduler.has_work(frozenset({"commits"})))
        self.assertCountEqual(self.queues.serve(2, ALL), ["a", "b"])

    def test_kinds_of_crawlers(self) -> None:
        """Where crawlers that take different commands want the same account's jobs, all of them get some."""
        self.queues.put("a", 100)
        got = Counter(
            crawler
            for _ in range(10)
            for _, crawler in self.queues.claim(Request("c", ALL, 1), Request("d", SOME, 1))
        )
        self.assertEqual(got, {"c": 5, "d": 5})

    def test_added_meanwhile(self) -> None:
        """A lane that was exhausted, but added during the claim, is planned again."""
        scheduler = Scheduler()
        scheduler.add("a", "issues")
        [allotment] = scheduler.plan([Request("c", ALL, 1)])
        scheduler.add("a", "issues")
        scheduler.settle(allotment, tried=True, exhausted=True)
        [allotment] = scheduler.plan([Request("c", ALL, 1)])
        scheduler.settle(allotment, tried=True, exhausted=True)
        self.assertEqual(scheduler.plan([Request("c", ALL, 1)]), [])
        self.assertFalse(scheduler.has_work(ALL))

    def test_a_turn_that_was_none(self) -> None:
        """An account whose job no crawler had room for is next again."""
        scheduler = Scheduler()
        for account in "cba":
            scheduler.add(account, "issues")
        [first] = scheduler.plan([Request("x", ALL, 1)])
        scheduler.settle(first, tried=False, exhausted=False)
        [again] = scheduler.plan([Request("x", ALL, 1)])
        self.assertEqual((first.account, again.account), ("a", "a"))

    def test_locked_by_others(self) -> None:
        """An account whose first jobs are locked is left out until it is added, then more rows are examined."""
        scheduler = Scheduler()
        depths = []
        for _ in range(6):
            scheduler.add("a", "issues")
            [allotment] = scheduler.plan([Request("c", ALL, 1)])
            depths.append(allotment.depth)
            scheduler.settle(allotment, tried=True, exhausted=False, beaten=True)
            self.assertEqual(scheduler.plan([Request("c", ALL, 1)]), [])
        self.assertEqual(depths, [2, 8, 32, 128, 512, 512])
        scheduler.add("a", "issues")
        [allotment] = scheduler.plan([Request("c", ALL, 1)])
        scheduler.settle(allotment, tried=True, exhausted=False)
        [allotment] = scheduler.plan([Request("c", ALL, 1)])
        self.assertEqual(allotment.depth, 2)

    def test_one_job_of_a_parked_account(self) -> None:
        """It is planned once, whatever is wanted; what is not used can be taken back."""
        scheduler = Scheduler()
        for account in "ab":
            scheduler.add(account, "issues")
        scheduler.park("a", "x")
        takes = frozenset({"issues"})
        self.assertFalse(scheduler.allow("b", "x"))
        for used in (False, True):
            self.assertTrue(scheduler.allow("a", "x"))
            if not used:
                scheduler.disallow("a")
            planned = [each for each in scheduler.plan([Request("c", takes, 9)]) if each.account == "a"]
            self.assertEqual([len(each.crawlers) for each in planned], [1] if used else [])
        self.assertNotIn("a", [each.account for each in scheduler.plan([Request("c", takes, 9)])])
        scheduler.park("a", "y")
        scheduler.unpark("a", "x")
        self.assertFalse(scheduler.parked_only("a", "x"))
        scheduler.unpark("a", "y")
        self.assertIn("a", [each.account for each in scheduler.plan([Request("c", takes, 9)])])

    def test_parked(self) -> None:
        """A parked account is in no plan, whatever is added or requested; once unparked it is next."""
        self.queues.put("a", 5)
        self.queues.put("b", 5)
        self.queues.serve(2)
        self.queues.scheduler.park("a", "x")
        self.queues.put("a", 1, "users")
        self.assertEqual(self.queues.serve(2), ["b", "b"])
        self.assertEqual(self.queues.serve(2, frozenset({"users"})), [])
        self.queues.scheduler.unpark("a", "x")
        self.assertEqual(sorted(self.queues.serve(2)), ["a", "b"])
        self.assertEqual(self.queues.serve(1, frozenset({"users"})), ["a"])

    def test_crawlers_that_have_gone(self) -> None:
        """A ring is dropped with the last crawler that takes its commands; the lanes stay."""
        self.queues.put("a", 5)
        self.queues.serve(1)
        self.queues.scheduler.keep_rings([SOME])
        self.assertTrue(self.queues.scheduler.has_work(SOME))
        self.assertEqual(self.queues.serve(1), ["a"])


ACCOUNTS = st.sampled_from("abcde")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), ACCOUNTS, st.integers(1, 5)),
        st.tuples(st.just("claim"), st.integers(1, 4), st.integers(1, 3)),
    ),
    max_size=60,
)
WEIGHTS = st.fixed_dictionaries({account: st.integers(1, 3) for account in "abcde"})


class FairnessTests(SynchronousTestCase):
    """Properties of any sequence of jobs and claims."""

    @given(STEPS, WEIGHTS)
    def test_no_account_waits_for_more_than_a_round(
        self, steps: list[tuple[str, object, int]], weights: dict[str, int]
    ) -> None:
        """While an account waits, another gets at most the rest of its turn in this round and one of the next."""
        queues = Queues()
        waiting: dict[str, Counter[str]] = {}
        for kind, what, number in steps:
            if kind == "put":
                account = str(what)
                queues.put(account, number, weight=weights[account])
                waiting.setdefault(account, Counter())
                continue
            requests = [Request(f"c{n}", ALL, number) for n in range(int(str(what)))]
            served = Counter(account for account, _ in queues.claim(*requests))
            for account, others in waiting.items():
                others.update({} if account in served else served)
            waiting.update({account: Counter() for account in served})
            waiting = {account: others for account, others in waiting.items() if queues.jobs[account, "issues"]}
            for account, others in waiting.items():
                for other, jobs in others.items():
                    self.assertLessEqual(jobs, 2 * weights[other], (account, other))

    @given(STEPS)
    def test_nothing_is_left(self, steps: list[tuple[str, object, int]]) -> None:
        """Each plan yields a job, or finds out that a lane has none; at the end no lane has work."""
        queues = Queues()
        for kind, what, number in steps:
            if kind == "put":
                queues.put(str(what), number, "users" if number % 2 else "issues")
            else:
                queues.serve(number, SOME if number % 2 else ALL)
        left, lanes = queues.jobs.total(), len(queues.jobs)
        self.assertEqual(len(queues.serve(left + lanes)), left)
        self.assertEqual(queues.scheduler.plan([Request("c", ALL, 1)]), [])
        self.assertFalse(queues.scheduler.has_work(ALL))

    @given(WEIGHTS, st.integers(1, 7))
    def test_shares(self, weights: dict[str, int], at_once: int) -> None:
        """Accounts that always have work get jobs by their weights."""
        queues = Queues()
        for account, weight in weights.items():
            queues.put(account, 10_000, weight=weight)
        rounds = 20 * at_once
        served: Counter[str] = Counter()
        for _ in range(rounds * sum(weights.values()) // at_once):
            served.update(account for account, _ in queues.claim(Request("c", ALL, at_once)))
        self.assertEqual(served, {account: rounds * weight for account, weight in weights.items()})

    @given(st.lists(st.tuples(st.sampled_from([ALL, SOME]), st.integers(0, 4)), max_size=8), st.integers(1, 30))
    def test_as_requested(self, asked: list[tuple[frozenset[str], int]], jobs: int) -> None:
        """No crawler gets more than it wants, or a command that it doesn't take; no lane is allotted twice."""
        queues = Queues()
        queues.put("a", jobs, "users")
        queues.put("b", jobs, "issues")
        requests = [Request(f"c{n}", commands, wanted) for n, (commands, wanted) in enumerate(asked)]
        plan: list[Allotment] = queues.scheduler.plan(requests)
        self.assertEqual(len({each.account for each in plan}), len(plan))
        got = Counter(crawler for each in plan for crawler in each.crawlers)
        for request in requests:
            self.assertLessEqual(got[request.crawler], request.wanted)
        takes = {request.crawler: request.commands for request in requests}
        for each in plan:
            for crawler in each.crawlers:
                self.assertLessEqual(set(each.commands), takes[crawler])


_ACCOUNTS = st.sampled_from("abc")
_COMMANDS = st.sampled_from(sorted(ALL))
_STEPS = st.one_of(
    st.tuples(st.just("put"), _ACCOUNTS, _COMMANDS),
    st.tuples(st.just("park"), _ACCOUNTS, st.sampled_from(["pause", "budget", "limit"])),
    st.tuples(st.just("unpark"), _ACCOUNTS, st.sampled_from(["pause", "budget", "limit"])),
    st.tuples(st.just("close"), st.frozensets(_COMMANDS), st.none()),
    st.tuples(st.just("claim"), st.sampled_from([ALL, SOME, frozenset({"users"})]), st.integers(1, 4)),
)


class ClosedTests(SynchronousTestCase):
    """Lanes that are closed: by command, or since their account is parked."""

    def test_commands(self) -> None:
        """Those of other commands go on; what was added meanwhile is planned when they open."""
        queues = Queues()
        queues.put("a", 2)
        queues.scheduler.close(SOME)
        self.assertEqual(queues.serve(2), [])
        queues.put("a", 1, "commits")
        queues.put("b", 1)
        self.assertEqual(queues.serve(3), ["a"])
        queues.scheduler.close(frozenset({"commits"}))
        self.assertEqual(sorted(queues.serve(9)), ["a", "a", "b"])

    @given(st.lists(_STEPS, max_size=40))
    @settings(max_examples=300)
    def test_nothing_starts_while_closed(self, steps: list[tuple[str, object, object]]) -> None:
        """Whatever happens in whatever order: no closed lane is planned, and every open one is in the end."""
        queues = Queues()
        for commands in (ALL, SOME):
            queues.claim(Request("c", commands, 1))  # from now on, accounts enter and leave their rings
        parked: set[tuple[str, str]] = set()
        closed: frozenset[str] = frozenset()
        for step, what, more in steps:
            match step:
                case "put":
                    queues.put(str(what), 1, str(more))
                case "park":
                    queues.scheduler.park(str(what), str(more))
                    parked.add((str(what), str(more)))
                case "unpark":
                    queues.scheduler.unpark(str(what), str(more))
                    parked.discard((str(what), str(more)))
                case "close":
                    assert isinstance(what, frozenset)
                    closed = what
                    queues.scheduler.close(closed)
                case "claim":
                    assert isinstance(what, frozenset) and isinstance(more, int)
                    before = Counter(queues.jobs)
                    queues.claim(Request("c", what, more))
                    for account, command in before - queues.jobs:
                        self.assertNotIn(account, {name for name, _ in parked})
                        self.assertIn(command, what - closed)
        queues.serve(100)
        held = {name for name, _ in parked}
        left = {lane for lane, count in queues.jobs.items() if count > 0}
        self.assertEqual({lane for lane in left if lane[0] not in held and lane[1] not in closed}, set())
