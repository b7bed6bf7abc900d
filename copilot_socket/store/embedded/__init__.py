"""The embedded PostgreSQL: a supervisor of the server whose programs come with a Python package.

supervisor  EmbeddedPostgres: start, stop
postmaster  one server process: start, find, stop
binaries    the programs, and a copy where the database user can reach them
account     the user that PostgreSQL runs as; it refuses to run as root
directories the state directory, the socket directory, their permissions
locks       the processes of this machine that use the database
nameless    initdb for a user without an entry in the user database
secret_key  the key that tokens are encrypted with
"""

from copilot_socket.store.embedded.errors import EmbeddedError
from copilot_socket.store.embedded.secret_key import keys_in_use
from copilot_socket.store.embedded.supervisor import EmbeddedPostgres

__all__ = ["EmbeddedError", "EmbeddedPostgres", "keys_in_use"]
