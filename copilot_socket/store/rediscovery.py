"""Discovering an account's areas again, unless that is under way or was done of late."""

from datetime import datetime

import attrs

from copilot_socket.core.acts import Act
from copilot_socket.store.area_lists import DISCOVERY
from copilot_socket.store.connection import Transaction
from copilot_socket.store.submission import Submission

# Of the account as a whole: without a path. Of two calls at once one waits here for the other.
_LOCK = "SELECT FROM accounts WHERE id = %(account)s FOR NO KEY UPDATE"

_LATEST = f"""
(SELECT id, NULL FROM jobs
 WHERE account_id = %(account)s AND command = '{DISCOVERY}' AND coalesce(full_path, '') = ''
   AND coalesce(branch, '') = '' AND status NOT IN ('completed', 'failed', 'cancelled') LIMIT 1)
UNION ALL
(SELECT id, finished_at FROM jobs
 WHERE account_id = %(account)s AND command = '{DISCOVERY}' AND status = 'completed' AND full_path IS NULL
   AND finished_at >= now() - %(hours)s * interval '1 hour' ORDER BY finished_at DESC LIMIT 1)
LIMIT 1
"""


@attrs.frozen
class Discovery:
    """A discovery: new, or else one that is live, or was completed at ``finished_at``."""

    id: str
    created: bool
    finished_at: datetime | None = None


async def rediscover(submission: Submission, account: str, unless_within: float, act: Act) -> Discovery | None:
    """Discover the areas of *account*, by *act*, unless that was done in the last *unless_within* hours.

    Returns None if there is no such account.
    """

    async def work(tx: Transaction) -> Discovery | None:
        if not await tx.query(_LOCK, {"account": account}):
            return None
        for job, finished_at in await tx.query(_LATEST, {"account": account, "hours": unless_within}):
            return Discovery(job, False, finished_at)
        submitted = await submission.submit_in(tx, [{"account_id": account, "command": DISCOVERY}], act)
        return Discovery(submitted.ids[0], submitted.created[0])

    return await submission.database.transaction(work)
