"""Claims whose outcome is not known: the connection was lost while they were being committed."""

from collections.abc import Iterable, Mapping

from copilot_socket.handlers.standing import Standing, never_sent
from copilot_socket.store.claims import Claims
from copilot_socket.store.turns import Claimed


class Doubts:
    """The crawlers for which a claim was cut short."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._keys: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str]) -> None:
        """Whether something was claimed for *keys* is not known."""
        self._keys.update(keys)

    async def settle(self, requests: Mapping[str, Standing]) -> list[Claimed]:
        """What was claimed and committed for those who stand, without this node's hearing of it."""
        # One for which a job waits for its token has an assignment that is not sent and not lost.
        standing = {key: item.crawler for key, item in requests.items() if not item.crawler.reserved}
        keys = self._keys.intersection(standing)
        if not keys:
            return []
        ours = keys - await self._claims.not_ours(list(keys))
        jobs = await self._claims.unreported(list(ours))
        self._keys -= keys
        return [job for job in jobs if job.crawler and never_sent(job, standing[job.crawler])]
