"""Who is at the other end of a crawler's connection, as the kernel or TLS says (docs/protocol.md, "Admission")."""

import attrs

MAX_SUBJECT = 500
"""Characters of a certificate's subject. A longer one is refused: shortened, two could be the same."""


@attrs.frozen
class Identity:
    """*uid*: the user of a local process; *subject*: that of a verified certificate (RFC 4514); None: not known.

    *address*: where the connection comes from; None if from this machine, over a UNIX socket.
    """

    uid: int | None = None
    subject: str | None = None
    address: str | None = None

    @property
    def remote(self) -> bool:
        """Whether no file's permissions decide who can connect."""
        return self.address is not None

    @property
    def description(self) -> str | None:
        """Where a remote crawler comes from, for people."""
        if self.subject is None:
            return None if self.address is None else f"from {self.address}"
        return f"from {self.address} with the certificate {self.subject}"

    @property
    def name(self) -> str | None:
        """Kind and name, as that of an :class:`.Actor`; None where the connection does not say."""
        if self.subject is not None:
            return f"cert:{self.subject}"
        return None if self.uid is None else f"uid:{self.uid}"

    @property
    def owner(self) -> str | None:
        """Whose a ``crawlerId`` is that is said over this connection, once it is admitted; None: nobody's."""
        return self.name or ("token" if self.remote else None)


def crawler_name(key: str) -> str:
    """The display name of the crawler with identity *key*: its ``crawlerId``, or else its process.

    Where the process is unknown, the connection.
    """
    kind, _, rest = key.partition(":")
    if kind != "pid":
        return rest if kind == "hello" else f"{kind} {rest}"
    _boot, _namespace, pid, _start_time, uid = rest.rsplit(":", 4)
    return f"pid {pid} (uid {uid})"


def valid_subject(subject: str) -> bool:
    """Whether *subject* can be an owner: an empty one would be anybody's, and what can't be printed may deceive."""
    return 0 < len(subject) <= MAX_SUBJECT and subject.isprintable()
