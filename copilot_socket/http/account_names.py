"""Accounts that requests name: whether a token is limited to others, and whether there can be such an account."""

from copilot_socket.http.checks import text
from copilot_socket.http.messages import Call, OutOfScope, Problem


def refuse_foreign(call: Call, account_id: str | None) -> None:
    """Raise :class:`Problem` 403 for an account that is not within the actor's limits; None stands for all."""
    if call.within is not None and not call.within.covers_account(account_id):
        named = "name one of them (account_id)" if account_id is None else "this is none of them"
        raise OutOfScope(403, f"Access token is limited to certain accounts or users; {named}")


def account_in(call: Call) -> str:
    """The account in the path. Raises :class:`Problem` 404 if there can be none, and as :func:`refuse_foreign`."""
    refuse_foreign(call, call.params["id"])
    return call.named(text(255), no_account())


def no_account() -> Problem:
    """The 404."""
    return Problem(404, "No such account")
