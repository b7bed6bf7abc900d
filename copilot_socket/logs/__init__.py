"""Log lines: what is written, in which shape, and where to.

levels     which lines: a lowest level, and the namespaces that DEBUG opens
lines      one event as a line: text, or JSON
limiter    what is repeated is written once a minute
files      where lines go; a full disk costs lines, never the node
process    the destination of this process, as configured; SIGHUP reopens its files
events     state events of jobs, crawlers and connections, as lines
"""

from copilot_socket.logs.events import EventLog
from copilot_socket.logs.levels import Levels
from copilot_socket.logs.process import Destination, destination

__all__ = ["Destination", "EventLog", "Levels", "destination"]
