"""Logging: which events are written, in which format, and where.

levels     the lowest level, and the namespaces for which DEBUG enables debug lines
lines      formats an event as a line: text, or JSON
limiter    writes repeated warnings and errors once a minute
files      output files; lines are dropped when the disk is full
process    the configured destination of this process; SIGHUP reopens its files
events     logs state events of jobs, crawlers and connections
rates      limits for these
"""

from copilot_socket.logs.events import EventLog
from copilot_socket.logs.levels import Levels
from copilot_socket.logs.process import Destination, destination

__all__ = ["Destination", "EventLog", "Levels", "destination"]
