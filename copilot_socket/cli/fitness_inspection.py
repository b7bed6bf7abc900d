"""The checks of `check` on a migrated database: a test write, rolled back, and decryption of the stored tokens."""

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from copilot_socket.cli.inspection import Finding
from copilot_socket.core.readiness import Unready
from copilot_socket.core.vault import Vault
from copilot_socket.store.outage import cause_of
from copilot_socket.store.probe import STATE, WRITE, opened_tokens

_NAMED = 3
"""Accounts listed by name; of the others only the number is shown."""
_REMEDIES = {
    Unready.READ_ONLY: "`ALTER DATABASE … SET default_transaction_read_only = off` (or of the role, or for the whole "
    "server in postgresql.conf); or set DATABASE_URL to a writable server",
    Unready.STANDBY: "set DATABASE_URL to the primary, or promote this server (`SELECT pg_promote()`)",
    Unready.DISK_FULL: "free space on the disks that hold PostgreSQL's files (never by deleting any of those)",
}
_TOKENS = (
    "SELECT id, gitlab_url, access_token, refresh_token FROM accounts WHERE credential_status = 'valid' ORDER BY id"
)


def inspect_session(connection: Connection) -> Finding | None:
    """A finding if the server is a standby or sessions are read-only, else None. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(STATE)
        [(recovering, read_only)] = cursor.fetchall()
    if recovering or read_only:
        return _refused(Unready.STANDBY if recovering else Unready.READ_ONLY)
    return None


def inspect_writing(connection: Connection) -> Finding:
    """Whether a row that needs a new disk page can be written; it is rolled back. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(WRITE)
        except psycopg2.Error as error:
            return _refused(cause_of(error) or Unready.REFUSES, " ".join(str(error).split()))
        finally:
            cursor.execute("ROLLBACK")
    return Finding("writing", True, "a row was written, and rolled back")


def _refused(cause: Unready, detail: str = "") -> Finding:
    text = cause.sentence + (f": {detail}" if detail else "")
    return Finding("writing", False, text, _REMEDIES.get(cause, "see PostgreSQL's log"))


def inspect_tokens(connection: Connection, vault: Vault) -> Finding:
    """Whether the keys of *vault* decrypt the tokens of every account. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_TOKENS)
        rows = cursor.fetchall()
    lost = [account for account, *stored in rows if not all(opened_tokens(vault, account, *stored))]
    if not lost:
        return Finding("tokens", True, f"those of {len(rows)} accounts can be read")
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    return Finding(
        "tokens",
        False,
        f"COPILOT_SECRET_KEY does not decrypt the stored tokens of {len(lost)} of {len(rows)} accounts: "
        f"{', '.join(lost[:_NAMED])}{more}",
        "put the key that they were encrypted with into COPILOT_SECRET_KEY (several, newest first, separated by "
        "commas), or renew the credentials: POST /api/v1/accounts/ID/credential",
    )
