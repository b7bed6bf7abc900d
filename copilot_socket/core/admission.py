"""Which crawlers are admitted (docs/protocol.md, "Admission"): by a token in ``hello``, or by their user."""

import hmac

import attrs


@attrs.frozen
class Denial:
    """Why a crawler is not admitted: a short code, as in :data:`.REASONS`, and a sentence."""

    reason: str
    text: str


@attrs.frozen
class Admission:
    """*tokens*: any of these is accepted; *uids*: the users whose crawlers need none.

    Without both, whoever can open the socket is admitted.
    """

    tokens: tuple[str, ...] = attrs.field(default=(), repr=False)
    uids: frozenset[int] = frozenset()

    @property
    def open(self) -> bool:
        """Whether everybody is admitted."""
        return not self.tokens and not self.uids

    def refusal(self, uid: int | None, hello: bool, token: str | None) -> Denial | None:
        """Why a crawler is not admitted whose first message is ``hello`` with *token*, or another one; None if it is.

        *uid*: the user at the other end, None where that is not known.
        """
        if self.open:
            return None
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
