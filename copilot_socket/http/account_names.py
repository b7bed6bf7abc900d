"""Accounts that requests name: whether a token is limited to others, and whether there can be such an account."""

from copilot_socket.http.checks import text
from copilot_socket.http.messages import Call, OutOfScope, Problem


def refuse_foreign(call: Call, account_id: str | None) -> None:
    """Raise :class:`Problem` 403 for an account that is not within the actor's limits; None stands for all."""
    if call.within is not None and not call.within.covers_account(account_id):
        named = "name one of them (account_id)" if account_id is None else "this is none of them"
        raise OutOfScope(403, f"Access token is limited to certain accounts or users; {named}")


def storable(account_id: str) -> str:
    """*account_id*. Raises :class:`Problem` 404 if no account can have it."""
    try:
        text(255)(account_id)
    except ValueError:
        raise no_account() from None
    return account_id


def no_account() -> Problem:
    """The 404."""
    return Problem(404, "No such account")
