"""Which accounts' jobs the next claim takes, and for which crawlers: deficit round robin over lanes.

A *lane* is the queued jobs of one account and command that are due. The scheduler records which lanes have work, not
how much: the claim statement takes the best jobs of an account's lanes; :meth:`Scheduler.settle` records its result.

Crawlers that take the same commands share a *ring* of the accounts that have work for them. Accounts take turns, each
of as many jobs as its weight. An account that gets work enters at the head, once a round: a single job of a new
account is next whatever the others have queued (M. Shreedhar and G. Varghese, "Efficient Fair Queuing Using Deficit
Round-Robin", 1996; here every job costs 1).

No I/O, and no clock: a plan costs O(jobs planned).
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import attrs

MAX_PLANNED = 500
"""Jobs that one claim takes, for all crawlers together."""

DEPTH, DEEPEST = 2, 512
"""Rows that a claim examines for each job wanted: four times as many each time all of them are locked."""

Commands = frozenset[str]


@attrs.frozen
class Request:
    """A request for up to ``wanted`` jobs with one of ``commands``; ``crawler`` is the crawler's key."""

    crawler: str
    commands: Commands
    wanted: int


@attrs.frozen
class Allotment:
    """Jobs to claim from one account's lanes: one for each of ``crawlers`` (keys), in this order.

    ``commands``: the lanes; ``takes``: the commands that these crawlers take; ``seen``: the sequence number of the
    last lane added before this was planned; ``depth``: rows to examine for each job wanted.
    """

    account: str
    commands: tuple[str, ...]
    crawlers: Sequence[str]
    takes: Commands
    seen: int
    depth: int = DEPTH


class _Ring:
    """The accounts that have work for crawlers with certain commands, those not yet served in this round first."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self._accounts: OrderedDict[str, None] = OrderedDict()
        self._served: set[str] = set()
        """Accounts that have had their turn in this round; they may have left the ring since."""
        self._left: dict[str, int] = {}
        """Jobs left of turns that have begun, by account."""

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def accounts(self) -> list[str]:
        """The accounts, in the order of their turns."""
        return list(self._accounts)

    def enter(self, account: str) -> None:
        """*account* has work."""
        if account not in self._accounts:
            self._accounts[account] = None
            if account not in self._served:
                self._accounts.move_to_end(account, last=False)

    def leave(self, account: str) -> None:
        """*account* has no more work."""
        self._accounts.pop(account, None)
        self._left.pop(account, None)

    def undo(self, account: str) -> None:
        """Nothing was claimed in the turn of *account*: it is next again."""
        if account in self._accounts:
            self._served.discard(account)
            self._accounts.move_to_end(account, last=False)

    def take(
        self, jobs: int, weights: Mapping[str, int], apart: Iterable[str], limits: Mapping[str, int]
    ) -> list[str]:
        """The accounts of the next *jobs* jobs, one entry per job, without those *apart*, which keep their turn.

        An account of *limits* has one turn of at most so many jobs, and leaves the ring.
        """
        held = [account for account in apart if account in self._accounts]
        for account in held:
            del self._accounts[account]
        taken: list[str] = []
        while self._accounts and len(taken) < jobs:
            account = next(iter(self._accounts))
            if account in self._served:  # so have all others: the next round begins
                self._served.clear()
            left = self._left.pop(account, weights.get(account, 1))
            number = min(left, jobs - len(taken), limits.get(account, left))
            taken += [account] * number
            if account in limits:
                self._served.add(account)
                self.leave(account)
            elif number < left:
                self._left[account] = left - number
            else:
                self._served.add(account)
                self._accounts.move_to_end(account)
        for account in reversed(held):
            self._accounts[account] = None
            self._accounts.move_to_end(account, last=False)
        return taken


class Scheduler:
    """Records which lanes have work, and whose turn it is."""

    def __init__(self) -> None:
        self._lanes: dict[str, dict[str, int]] = {}
        """By account and command: the sequence number of the lane's last :meth:`add`."""
        self._rings: dict[Commands, _Ring] = {}
        self._weights: dict[str, int] = {}
        """Of accounts with a weight other than 1."""
        self._depths: dict[str, int] = {}
        """Of accounts whose first jobs are locked by other transactions."""
        self._parked: dict[str, set[str]] = {}
        """The reasons for which accounts are parked."""
        self._allowed: dict[str, int] = {}
        """How many jobs may be planned of accounts although they are parked."""
        self._closed: frozenset[str] = frozenset()
        """Commands whose lanes are closed."""
        self._added = 0
        self._first = 0

    def has_work(self, commands: Commands) -> bool:
        """Whether there may be a job with one of *commands*."""
        return len(self._ring(commands)) > 0

    def add(self, account: str, command: str, weight: int | None = None) -> None:
        """There may be jobs in this lane. *weight* is the account's, where it is known."""
        if weight is not None:
            self.weigh(account, weight)
        self._added += 1
        lanes = self._lanes.setdefault(account, {})
        new = command not in lanes
        lanes[command] = self._added
        if new:
            self._enter(account)

    def weigh(self, account: str, weight: int) -> None:
        """Set the weight of *account*."""
        self._weights[account] = weight
        if weight == 1:
            del self._weights[account]

    def park(self, account: str, reason: str) -> None:
        """Plan no jobs of *account* until :meth:`unpark` for the same *reason*, whatever lanes are added."""
        self._parked.setdefault(account, set()).add(reason)
        self._allowed.pop(account, None)
        for ring in self._rings.values():
            ring.leave(account)

    def unpark(self, account: str, reason: str) -> None:
        """Plan jobs of *account* again, unless it is parked for another reason."""
        reasons = self._parked.get(account, set())
        reasons.discard(reason)
        if not reasons:
            self._parked.pop(account, None)
            self._allowed.pop(account, None)
            self._enter(account)

    def allow(self, account: str, reason: str) -> bool:
        """Plan one job of *account*, if it is parked for no other reason than *reason*; whether it is."""
        if not self.parked_only(account, reason):
            return False
        self._allowed[account] = 1
        self._enter(account)
        return True

    def disallow(self, account: str) -> None:
        """Take back an unused :meth:`allow`."""
        if self._allowed.pop(account, None) is not None:
            for ring in self._rings.values():
                ring.leave(account)

    def close(self, commands: Commands) -> None:
        """Plan no jobs with these *commands*, and those with others again."""
        if commands == self._closed:
            return
        self._closed = commands
        for account in self._lanes:
            self._enter(account)
        for ring in self._rings.values():
            for account in ring.accounts:
                if not self._open(account, ring.commands):
                    ring.leave(account)

    def parked_only(self, account: str, reason: str) -> bool:
        """Whether *account* is parked for *reason*, and for no other."""
        return self._parked.get(account) == {reason}

    def accounts(self, commands: Commands) -> list[str]:
        """The accounts that have open lanes with one of *commands*, parked or not."""
        open_commands = commands - self._closed
        return [account for account, lanes in self._lanes.items() if not open_commands.isdisjoint(lanes)]

    def _enter(self, account: str) -> None:
        for commands, ring in self._rings.items():
            if self._open(account, commands):
                ring.enter(account)

    def _open(self, account: str, commands: Commands) -> bool:
        """Whether jobs of *account* with one of *commands* may be planned."""
        parked = account in self._parked and account not in self._allowed
        return not parked and any(
            each in commands and each not in self._closed for each in self._lanes.get(account, ())
        )

    def keep_rings(self, wanted: Iterable[Commands]) -> None:
        """Drop all rings but those of *wanted*, the sets of commands that connected crawlers take."""
        for commands in self._rings.keys() - set(wanted):
            del self._rings[commands]

    def plan(self, requests: Sequence[Request]) -> list[Allotment]:
        """What to claim for *requests*: in their order, one job each before any gets a second.

        No lane is allotted twice: an account's jobs go to crawlers that take the same commands. Where there are
        several sets of commands, they take turns in being planned first.
        """
        groups: dict[Commands, list[Request]] = {}
        for request in requests:
            if request.wanted > 0:
                groups.setdefault(request.commands, []).append(request)
        order = list(groups)
        self._first = (self._first + 1) % max(1, len(order))
        allotted: dict[str, tuple[_Ring, list[str]]] = {}
        left = MAX_PLANNED
        for commands in order[self._first :] + order[: self._first]:
            ring = self._ring(commands)
            slots = _in_turn(groups[commands], left)
            accounts = ring.take(len(slots), self._weights, list(allotted), self._allowed)
            left -= len(accounts)
            for account, crawler in zip(accounts, slots, strict=False):
                allotted.setdefault(account, (ring, []))[1].append(crawler)
        for account in self._allowed.keys() & allotted:
            del self._allowed[account]
            for ring in self._rings.values():
                ring.leave(account)
        return [
            Allotment(
                account,
                self._commands(account, ring.commands),
                crawlers,
                ring.commands,
                self._added,
                self._depths.get(account, DEPTH),
            )
            for account, (ring, crawlers) in allotted.items()
        ]

    def settle(self, allotment: Allotment, *, tried: bool, exhausted: bool, beaten: bool = False) -> None:
        """Record the result of claiming *allotment*.

        *tried*: at least one of its crawlers had room. *exhausted*: all jobs of its lanes were claimed. *beaten*:
        other transactions had locked all rows examined; its lanes are left out until they are added again, and the
        next claim examines more rows.
        """
        account, lanes = allotment.account, self._lanes.get(allotment.account, {})
        if beaten:
            self._depths[account] = min(4 * allotment.depth, DEEPEST)
        elif tried:
            self._depths.pop(account, None)
        if exhausted or beaten:
            for command in allotment.commands:
                if lanes.get(command, allotment.seen + 1) <= allotment.seen:  # nothing was added meanwhile
                    del lanes[command]
            for commands, ring in self._rings.items():
                if not self._open(account, commands):
                    ring.leave(account)
            if not lanes:
                self._lanes.pop(account, None)
        elif not tried and allotment.takes in self._rings:
            self._rings[allotment.takes].undo(account)

    def _ring(self, commands: Commands) -> _Ring:
        ring = self._rings.get(commands)
        if ring is None:
            ring = self._rings[commands] = _Ring(commands)
            for account in self._lanes:
                if self._open(account, commands):
                    ring.enter(account)
        return ring

    def _commands(self, account: str, among: Commands) -> tuple[str, ...]:
        return tuple(each for each in self._lanes[account] if each in among and each not in self._closed)


def _in_turn(requests: Sequence[Request], most: int) -> list[str]:
    """Their crawlers, each as often as it wants jobs, *most* in all: each one's first job, then each one's second."""
    slots: list[str] = []
    turn = 0
    while len(slots) < most and (still := [each for each in requests if each.wanted > turn]):
        slots += [each.crawler for each in still[: most - len(slots)]]
        turn += 1
    return slots
