"""`copilot-socket keys`: creates and rotates the keys that encrypt tokens at rest."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.options import config_from
from copilot_socket.cli.output import emit, say

if TYPE_CHECKING:
    from copilot_socket.store.sealing import KeyHolder, Sealed, Survey

_VARIABLE = "COPILOT_SECRET_KEY"
_NAMED = 3
"""Secrets that no key decrypts which are listed by name."""
_ROTATE = "(run `copilot-socket keys rotate`)"


def run(args: Namespace) -> int:
    """Run the action. Raises CommandError, ConfigFaults, SchemaError or EmbeddedError."""
    return _new(args) if args.action == "new" else _examine(args)


def _new(args: Namespace) -> int:
    from copilot_socket.core.vault import new_key  # noqa: PLC0415 - not for --help

    key = new_key()
    if args.json:
        emit({"key": key})
    else:
        say(key)
    return 0


def _examine(args: Namespace) -> int:
    """Exit status 0 only if no stored value and no node needs an older key any more."""
    from copilot_socket.cli.acts import act  # noqa: PLC0415 - not for `keys new`
    from copilot_socket.cli.offline import ready_database, vault  # noqa: PLC0415 - not for `keys new`
    from copilot_socket.core.vault import fingerprint  # noqa: PLC0415
    from copilot_socket.store.embedded import secret_key  # noqa: PLC0415
    from copilot_socket.store.sealing import key_holders, seal, survey  # noqa: PLC0415

    config = config_from(args)
    with ready_database(config) as url:
        if config.database_url is not None and not config.secret_keys:
            raise CommandError("no key: set COPILOT_SECRET_KEY (`copilot-socket keys new` prints one)")
        keys = vault(config)
        given = set(map(fingerprint, config.secret_keys))
        file = str(config.state_dir / secret_key.NAME)
        holders, sealed = key_holders(url, keys), None
        if args.action == "rotate" and not _behind(holders):
            sealed = seal(url, keys, everything=True, act=act("keys.rotate"))
            holders = key_holders(url, keys)  # one may have been started meanwhile
        sources = [_VARIABLE if each in given else file for each in keys.fingerprints]
        state = State(keys.fingerprints, sources, survey(url, keys), holders, sealed)
    if args.json:
        emit(state.as_json())
    else:
        for line in state.lines():
            say(line)
    return 0 if state.obstacles() == [] else 1


def _behind(holders: "Sequence[KeyHolder]") -> "list[KeyHolder]":
    return [each for each in holders if each.running and not each.newest]


@attrs.frozen
class State:
    """The keys, each with its source (a variable or a file), and who needs them. ``sealed`` by `rotate`."""

    fingerprints: Sequence[str]
    sources: Sequence[str]
    survey: "Survey"
    holders: "Sequence[KeyHolder]"
    sealed: "Sealed | None"

    def obstacles(self) -> list[str]:
        """Why older keys can't be removed yet, as clauses of a sentence."""
        by_key = self.survey.by_key
        older = sum(number for key, number in by_key.items() if key)
        found = [
            f"{_name(each)} does not encrypt with the newest key (restart it with that key in front)"
            for each in _behind(self.holders)
        ]
        if older:
            found.append(f"{_count(older, 'secret')} need{'s' if older == 1 else ''} an older key {_ROTATE}")
        if by_key[None]:
            found.append(f"{_count(by_key[None], 'secret')} {'is' if by_key[None] == 1 else 'are'} plain {_ROTATE}")
        if self.survey.loose:
            found.append(
                f"{_count(self.survey.loose, 'secret')} {'is' if self.survey.loose == 1 else 'are'} not bound "
                f"to {'its row' if self.survey.loose == 1 else 'their rows'} {_ROTATE}"
            )
        found += [
            f"{_name(each)} was lost, and may come back without the newest key (it is forgotten after an hour)"
            for each in self.holders
            if not each.running and not each.newest
        ]
        lost = self.survey.unreadable
        if lost:
            more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
            found.append(
                f"no key given here decrypts {', '.join(lost[:_NAMED])}{more} (give all keys of the nodes; "
                "if they have none for it either, store the credential again)"
            )
        return found

    def conclusion(self) -> str:
        """The sentence that says whether older keys can be removed."""
        obstacles = self.obstacles()
        if obstacles:
            return f"Not yet: {'; '.join(obstacles)}."
        if len(self.fingerprints) == 1:
            return "All stored secrets are encrypted with the only key."
        older = len(self.fingerprints) - 1
        what = "The older key" if older == 1 else f"The {older} older keys"
        # A file of older keys only must go as a whole: one without a key is a fault.
        where = {
            f"with the file {each}" if each != _VARIABLE == self.sources[0] else f"from {each}": None
            for each in self.sources[1:]
        }
        return f"{what} can be removed {' and '.join(where)} now."

    def advice(self) -> Iterator[str]:
        """What is worth knowing, but keeps no key in use."""
        if self.sealed is not None and self.sealed.loose:
            yield (
                f"{_count(self.sealed.loose, 'secret')} had been encrypted with the newest key by a version that did "
                "not bind them to their rows. Copies of them (in dumps) are accepted in any row until that key is "
                "replaced: put a new one in front, and rotate again"
            )

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.sealed is not None:
            yield f"accounts and OAuth clients that were encrypted with the newest key: {self.sealed.rows}"
        for number, (each, source) in enumerate(zip(self.fingerprints, self.sources, strict=True)):
            newest = ", the newest" if number == 0 else ""
            yield f"key {number + 1} ({each}{newest}, from {source}): {_count(self.survey.by_key[number], 'secret')}"
        yield from (f"note: {line}" for line in self.advice())
        yield self.conclusion()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        keys = [
            {"number": number + 1, "fingerprint": each, "source": source, "secrets": self.survey.by_key[number]}
            for number, (each, source) in enumerate(zip(self.fingerprints, self.sources, strict=True))
        ]
        return {
            **({} if self.sealed is None else {"encrypted": self.sealed.rows}),
            "keys": keys,
            "plain": self.survey.by_key[None],
            "unbound": self.survey.loose,
            "unreadable": list(self.survey.unreadable),
            "nodes": [attrs.asdict(each) for each in self.holders],
            "removable": not self.obstacles(),
            "conclusion": self.conclusion(),
            "notes": list(self.advice()),
        }


def _name(node: "KeyHolder") -> str:
    return f"the node with pid {node.pid} on {node.host}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
