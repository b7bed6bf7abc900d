"""The embedded PostgreSQL: a small supervisor over the server that a Python package brings along.

supervisor  EmbeddedPostgres: start, stop
postmaster  one server process: starting it, finding it again, asking it to stop
binaries    where the programs are, and a copy where the database user can reach them
account     who PostgreSQL runs as; it refuses to run as root
directories the state directory, the sockets' directory, what others may do there
locks       which processes of this machine use the database
nameless    initdb for a user without an entry in the user database
secret_key  the key that tokens are encrypted with
"""

from copilot_socket.store.embedded.errors import EmbeddedError
from copilot_socket.store.embedded.secret_key import keys_in_use
from copilot_socket.store.embedded.supervisor import EmbeddedPostgres

__all__ = ["EmbeddedError", "EmbeddedPostgres", "keys_in_use"]
