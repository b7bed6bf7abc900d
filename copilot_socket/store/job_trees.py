"""Deletion of trees of finished, old jobs, each as a whole: a remaining job keeps the jobs that it has spawned.

A tree is a job without ``spawned_from`` and all its descendants. A small one (up to :data:`SMALL` jobs) is deleted by
one statement, together with others. A larger one is read completely first, then deleted in parts, children before
parents: after an interruption the rest is again a tree of finished jobs.
"""

from collections.abc import Sequence
from datetime import datetime

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.store.connection import Row
from copilot_socket.store.database import Database, Transaction
from copilot_socket.store.sql import sql

SMALL = 1000
"""Jobs of a tree that is deleted as a whole, and jobs that one statement deletes, at most."""
READ = 5000
"""Jobs that one statement reads: more than ``SMALL``, so that it reads at least one small tree completely."""


@attrs.frozen
class Tree:
    """The jobs of one tree that were read, root first; ``finished``: whether all of these are finished and old."""

    jobs: list[str]
    finished: bool

    @property
    def large(self) -> bool:
        """Whether the tree may have more jobs than were read."""
        return len(self.jobs) > SMALL


class JobTrees:
    """Deletes old trees from *database*, with *pause* seconds between two deletions."""

    log = Logger()

    def __init__(self, database: Database, reactor: IReactorTime, pause: float) -> None:
        self._database = database
        self._reactor = reactor
        self._pause = pause
        self._longest_read = database.limits.transaction / 2

    async def clean(self, age: float) -> int:
        """Delete each tree of jobs that are finished and unchanged for *age* seconds; return the number of jobs.

        Each tree is examined at most once, so that remaining trees neither prolong the round nor delay others.
        """
        [(until,)] = await self._database.query(sql("age_ago"), {"age": age})
        total = 0
        large: list[str] = []
        after: str | None = ""
        while after is not None:
            [(after, roots)] = await self._query("old_roots", until, after=after, limit=READ)
            while roots:
                trees, roots = await self._trees(roots, until)
                large += [tree.jobs[0] for tree in trees if tree.large and tree.finished]
                small = [tree.jobs for tree in trees if tree.finished and not tree.large]
                for together in _packed(small):
                    total += await self._delete(together, until)
        for root in large:
            total += await self._clean_large(root, until)
        return total

    async def _trees(self, roots: Sequence[str], until: datetime) -> tuple[list[Tree], list[str]]:
        """Read the trees of *roots*, up to :data:`READ` jobs; return them and the roots that were not reached."""
        rows = await self._query("old_trees", until, roots=list(roots), most=SMALL + 1, limit=READ)
        reached = len(roots) if len(rows) < READ else rows[-1][0] - 1  # the last tree may be cut off
        found: dict[int, Tree] = {}
        for number, job, finished in rows:
            if number > reached:
                break
            before = found.get(number, Tree([], True))
            before.jobs.append(job)
            found[number] = before if finished else Tree(before.jobs, False)
        return list(found.values()), list(roots[reached:])

    async def _clean_large(self, root: str, until: datetime) -> int:
        """Delete the tree of *root* in parts, if all of its jobs are finished; stop where a part can't be deleted."""
        if not await self._finished(root, until):
            return 0
        total = 0
        level = [root]
        levels: list[list[str]] = []
        while True:
            children = await self._query("children", until, parents=level, limit=READ)
            if children:
                levels.append(level)
                level = [child for (child,) in children]
                continue
            above = [root, *levels[-1]] if levels else []
            for start in range(0, len(level), SMALL):
                gone = await self._delete([level[start : start + SMALL]], until, above)
                if not gone:
                    return total
                total += gone
            if not levels:
                return total
            level = levels.pop()

    async def _finished(self, root: str, until: datetime) -> bool:
        """Whether all jobs of the tree of *root* are finished and old; False where reading takes too long."""

        async def read(tx: Transaction) -> bool:
            end = self._reactor.seconds() + self._longest_read
            await tx.query(sql("open_tree"), {"root": root, "until": until})
            while self._reactor.seconds() < end:
                rows = await tx.query(f"FETCH {READ} FROM tree")
                if not all(finished for (finished,) in rows):
                    return False
                if len(rows) < READ:
                    return True
            self.log.warn("Job {root} has too many descendants to read in time; they are not deleted", root=root)
            return False

        return await self._database.transaction(read)

    async def _delete(self, trees: Sequence[Sequence[str]], until: datetime, above: Sequence[str] = ()) -> int:
        """Delete those of *trees* whose jobs are all finished and old, provided that those of *above* are.

        Returns the number of jobs.
        """
        jobs = [(job, number) for number, tree in enumerate(trees) for job in tree]
        [(count,)] = await self._query(
            "clean_jobs", until, job=[job for job, _ in jobs], tree=[number for _, number in jobs], above=list(above)
        )
        await deferLater(self._reactor, self._pause)
        return int(count)

    async def _query(self, name: str, until: datetime, **parameters: object) -> list[Row]:
        return await self._database.query(sql(name), {"until": until, **parameters})


def _packed(trees: Sequence[list[str]]) -> list[list[list[str]]]:
    """*trees* in groups of up to :data:`SMALL` jobs."""
    groups: list[list[list[str]]] = []
    size = SMALL
    for tree in trees:
        size += len(tree)
        if size > SMALL:
            groups.append([])
            size = len(tree)
        groups[-1].append(tree)
    return groups
