"""Admits crawlers, and gives a ``crawlerId`` to whoever says it first (docs/protocol.md, "Admission")."""

from collections.abc import Iterable, Sequence
from typing import cast

from twisted.internet.interfaces import IReactorTime

from copilot_socket.core.actors import STRANGER
from copilot_socket.core.acts import WIRE
from copilot_socket.core.admission import Admission, Denial
from copilot_socket.core.errors import ErrorCode, NotAdmitted
from copilot_socket.core.identity import Identity
from copilot_socket.core.messages import Hello, Message
from copilot_socket.core.rate import WRONG_SECONDS, WRONG_TOKENS, Rates, client_of
from copilot_socket.event_bus import EventBus, Refused
from copilot_socket.handlers.crawlers import Crawler, Link, Registry
from copilot_socket.handlers.retrying import until_done
from copilot_socket.store.leases import Leases

_WRONG_AGAIN = Denial("too_many_wrong_tokens", "the token of hello is wrong, as were others from this address before")


class Doorkeeper:
    """Decides by the first message of a connection, before anything else is done with it."""

    def __init__(
        self,
        tokens: Sequence[str],
        uids: Iterable[int],
        registry: Registry,
        leases: Leases,
        reactor: IReactorTime,
        bus: EventBus,
    ) -> None:
        self._admission = Admission(tuple(tokens), frozenset(uids))
        self._wrong = Rates(WRONG_TOKENS, WRONG_SECONDS)
        self._registry = registry
        self._leases = leases
        self._reactor = reactor
        self._bus = bus

    def admits(self, identity: Identity) -> bool:
        """Whether *identity* is admitted whatever it says."""
        return self._admission.admits(identity)

    def opened(self, link: Link) -> None:
        """*link* has opened."""
        link.admitted = self.admits(link.identity)

    def admit(self, link: Link, message: Message) -> bool:
        """Admit *link* by its first message; False if it is one too many. Raises :class:`NotAdmitted`."""
        hello = message.type == "hello"
        token = cast(Hello, message.data).token if hello else None
        why = self._admission.refusal(link.identity, hello, token)
        if why is not None:
            why = self._limited(link, why)
            self._refused(link, why.reason, _what(message))
            raise NotAdmitted(ErrorCode.UNAUTHORIZED, why.text, ref=message.ref, job_id=message.job_id)
        link.admitted = link.enter()
        return link.admitted

    async def own(self, link: Link, key: str, message: Message) -> None:
        """Give the ``crawlerId`` of a ``hello`` to the owner of *link*. Raises :class:`NotAdmitted`."""
        crawler_id = cast(Hello, message.data).crawler_id
        owns = await until_done(
            "Looking up whose a crawlerId is",
            lambda: self._leases.own(key, crawler_id, link.identity.owner),
            self._reactor,
            lambda: link not in link.crawler.links,
        )
        here = self._registry.get(key)
        if not owns or (
            here is not None and {each.identity.owner for each in here.links} - {link.identity.owner, None}
        ):
            raise self._anothers(link, message)

    async def verify(self, link: Link, message: Message) -> None:
        """Look up, now that its presence is stored, whether *link* still owns its id. Raises :class:`NotAdmitted`.

        Between :meth:`own` and that its lease may have ended.
        """
        if await self._taken([link.crawler]):
            raise self._anothers(link, message)

    async def close_lost(self) -> None:
        """Close connections of crawlers whose id is somebody else's by now: their leases had ended, unnoticed."""
        for crawler in await self._taken([each for each in self._registry if not each.plain]):
            for link in list(crawler.links):
                self._refused(link, "id_lost", f"connection of {crawler.crawler_id}")
                link.close("its crawlerId belongs to another owner by now")

    def _limited(self, link: Link, why: Denial) -> Denial:
        """*why*, unless it is one of many wrong tokens of a remote address."""
        if why.reason != "wrong_token" or link.identity.address is None:
            return why
        client, now = client_of(link.identity.address), self._reactor.seconds()
        if self._wrong.wait(client, now):
            return _WRONG_AGAIN
        self._wrong.count(client, now)
        return why

    def _anothers(self, link: Link, message: Message) -> NotAdmitted:
        self._refused(link, "id_in_use", _what(message))
        text = "this crawlerId is in use by a crawler of another owner; it is free when that crawler is gone"
        return NotAdmitted(ErrorCode.UNAUTHORIZED, text, path="/data/crawlerId", ref=message.ref)

    def _refused(self, link: Link, reason: str, what: str) -> None:
        who = link.identity
        self._bus.publish(Refused(WIRE, reason, who.name or STRANGER, who.address, what))

    async def _taken(self, crawlers: Sequence[Crawler]) -> list[Crawler]:
        """Those of *crawlers*, which said ``hello``, whose id is somebody else's."""
        owned = {each.key: (each, each.links[0].identity.owner) for each in crawlers if each.links}
        owners = {key: owner for key, (_, owner) in owned.items() if owner is not None}
        return [owned[key][0] for key in await self._leases.of_others(owners)]


def _what(message: Message) -> str:
    return f"hello as {cast(Hello, message.data).crawler_id}" if message.type == "hello" else message.type
