"""Which crawlers are admitted (docs/protocol.md, "Admission"): by certificate, a token in ``hello``, or user."""

import hmac

import attrs

from copilot_socket.core.identity import Identity


@attrs.frozen
class Denial:
    """Why a crawler is not admitted: a short code, as in :data:`.REASONS`, and a sentence."""

    reason: str
    text: str


@attrs.frozen
class Admission:
    """*tokens*: any of these is accepted; *uids*: the users whose crawlers need none.

    Without both, whoever can open the socket is admitted. A verified certificate admits as well.
    """

    tokens: tuple[str, ...] = attrs.field(default=(), repr=False)
    uids: frozenset[int] = frozenset()

    def admits(self, identity: Identity) -> bool:
        """Whether *identity* is admitted whatever it says."""
        if identity.remote:
            return identity.subject is not None
        return not self.tokens and (not self.uids or identity.uid in self.uids)

    def refusal(self, identity: Identity, hello: bool, token: str | None) -> Denial | None:
        """Why *identity* is not admitted whose first message is ``hello`` with *token*, or another; None if it is."""
        if self.admits(identity):
            return None
        if identity.remote and not hello:
            text = "crawlers without a client certificate must say hello with a token (COPILOT_CRAWLER_TOKEN)"
            return Denial("no_token", text)
        uid = identity.uid
        if not hello or not self.tokens:
            if uid is not None and uid in self.uids:
                return None
            who = "crawlers that don't say hello" if self.tokens else "crawlers"
            user = "the one at the other end" if uid is None else f"uid {uid}"
            text = f"{who} are admitted only for certain users (COPILOT_CRAWLER_UIDS), not for {user}"
            return Denial("user", text)
        if token is None:
            return Denial("no_token", "hello must carry a token (COPILOT_CRAWLER_TOKEN)")
        if self._accepts(token):
            return None
        return Denial("wrong_token", "the token of hello is wrong (COPILOT_CRAWLER_TOKEN)")

    def _accepts(self, token: str) -> bool:
        """Whether *token* is one of ours, in a time that says nothing of it but its length."""
        given = token.encode("utf-8", "replace")
        same = [hmac.compare_digest(given, each.encode()) for each in self.tokens]  # all of them, whatever is found
        return any(same)
