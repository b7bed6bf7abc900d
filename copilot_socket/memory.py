"""Upper bound of a node's memory, from its settings (docs/configuration.md, "Memory")."""

from collections.abc import Mapping

from copilot_socket.config import Config
from copilot_socket.core.endpoints import TCPEndpoint, TLSEndpoint
from copilot_socket.handlers.activity import MAX_MEMORY_USAGE, SMALL
from copilot_socket.http.channel import MAX_CONNECTIONS
from copilot_socket.http.compression import CONCURRENTLY, STATE
from copilot_socket.http.feed import MAX_STREAMS
from copilot_socket.http.job_handlers import LARGE_SUBMISSIONS
from copilot_socket.http.requests import MAX_BODY
from copilot_socket.http.shared_answers import MAX_SHARED
from copilot_socket.http.shares import MAX_ANSWERS, MAX_BODIES, UNCOUNTED
from copilot_socket.http.streams import MAX_WAITING
from copilot_socket.live_events import MOST_WAITING
from copilot_socket.store.database import DEDICATED
from copilot_socket.store.listing import PAGE_BYTES
from copilot_socket.store.live_events import READ_BYTES
from copilot_socket.store.submission import MAX_JOBS
from copilot_socket.store.webhooks import MOST
from copilot_socket.store.write_queue import HIGH_SIZE
from copilot_socket.wire.limits import (
    FEW_OWED,
    HELD_WITHOUT_PLACE,
    MAX_OWED_IN_ALL,
    MAX_REFUSED,
    MAX_UNREAD,
    MAX_UNSENT,
    places,
)

KIB, MIB = 1024, 1024 * 1024

BASE = 96 * MIB
"""A node that has just started takes 72 MiB; the rest is for modules imported on first use."""
OBJECTS = 16 * KIB
"""A connection and its crawler, including a plain heartbeat."""
TLS = 64 * KIB
"""State and buffers of TLS; 40 of it for an idle connection."""
BUFFER = 64 * KIB
"""What Twisted reads in one call, and may buffer for sending before it pauses the producer."""
REPLY = 1 * KIB
"""A reply that is not sent yet."""
OWED = 2560
"""A pending reply, with the report or coroutine that it waits for, without that report's content."""
PARSED = 64
"""A decoded message, in multiples of its size: ``{},`` has 3 bytes and becomes a dict of 80 and a pointer."""
WRITER = 8 * HIGH_SIZE
"""Content of reports that wait for their commit."""
HTTP = (
    MAX_BODIES
    + MAX_ANSWERS
    + MAX_SHARED
    + LARGE_SUBMISSIONS * (MAX_BODY + MAX_JOBS * 3 * KIB // 2)
    + CONCURRENTLY * (PAGE_BYTES + STATE)
    + MAX_CONNECTIONS * (16 * UNCOUNTED + BUFFER)
)
"""Bodies of HTTP requests and responses, also while they are compressed, and the other buffers of each connection."""
MESSAGE = 256 * KIB
"""A message to a webhook, and what has been received of its answer."""
DATABASE_CONNECTION = 1 * MIB
"""A connection to the database, including a result being read."""


def parts(config: Config) -> Mapping[str, int]:
    """The most bytes that each part of a node with *config* takes, by its name."""
    connections, message = config.max_connections, config.max_message_size
    heartbeat = max(MAX_MEMORY_USAGE, SMALL * PARSED // 2)
    tls = TLS if any(isinstance(endpoint, TLSEndpoint) for endpoint in config.listen) else 0
    connection = tls + OBJECTS + heartbeat + BUFFER + min(message, HELD_WITHOUT_PLACE) + BUFFER + MAX_UNSENT * REPLY
    remote = any(isinstance(endpoint, TCPEndpoint) for endpoint in config.listen)
    return {
        "process": BASE,
        "connections": connections * connection + MAX_REFUSED * (connection if remote else OBJECTS),
        "large messages that are not complete": min(places(message), connections) * message,
        "message being handled": PARSED * message,
        "pending replies": (MAX_OWED_IN_ALL + FEW_OWED * connections) * OWED,
        "unread replies": MAX_UNREAD,
        "reports waiting for their commit": WRITER,
        "HTTP requests": HTTP,
        "live events": MAX_STREAMS * (MAX_WAITING + READ_BYTES + BUFFER) + 3 * MOST_WAITING,
        "messages to webhooks": MOST * MESSAGE,
        "database connections": (config.database_pool + DEDICATED) * DATABASE_CONNECTION,
    }


def most(config: Config) -> int:
    """The most bytes that a node with *config* takes, without an embedded database and kernel buffers."""
    return sum(parts(config).values())
