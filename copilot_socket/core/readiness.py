"""Why a node is not ready. Each cause has a label, for metrics, and a sentence without secrets, for anyone."""

from enum import Enum


class Unready(Enum):
    """Member values are the labels of the metric ``copilot_node_unready``."""

    UNREACHABLE = "unreachable", "the database is unreachable"
    NO_ANSWER = "no_answer", "the database does not answer"
    STARTING = "starting", "PostgreSQL is starting up or shutting down"
    LOGIN = "login", "PostgreSQL refuses this node's login"
    TLS = "tls", "the connection to the database can't be secured by TLS"
    CONNECTIONS = "connections", "PostgreSQL has no connection left for this node"
    READ_ONLY = "read_only", "the database is read-only"
    STANDBY = "standby", "PostgreSQL is in recovery (a standby)"
    DISK_FULL = "disk_full", "disk full: PostgreSQL has no space left"
    RESOURCES = "resources", "PostgreSQL is out of resources"
    TABLES = "tables", "tables or columns of the database are missing"
    RIGHTS = "rights", "this node's role lacks rights on the tables"
    REFUSES = "refuses", "PostgreSQL refuses statements"
    SECRET_KEY = "secret_key", "COPILOT_SECRET_KEY does not decrypt the stored tokens"
    WRITES = "writes", "reports of crawlers can't be stored"
    LEASE = "lease", "this node's lease could not be renewed"
    STUCK = "stuck", "a periodic task has not come back"
    POOL = "pool", "the pool of database connections is exhausted"
    SOCKET = "socket", "crawlers can't connect: the socket's file was removed"

    def __init__(self, label: str, sentence: str) -> None:
        self.label = label
        self.sentence = sentence
