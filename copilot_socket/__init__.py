"""The job server for GitLab crawlers.

core      pure rules: messages, states, folding, back-off (no reactor, no I/O, no clock)
wire      bytes to messages and back: framing, schemas, the protocol
handlers  what each message does
store     PostgreSQL: pool, group-commit writer, claims, listener, migrations
http      health, metrics, the API
client    a library for crawlers: a core without I/O, shells for Twisted, asyncio and plain programs
testing   a server for tests of crawlers
config    the environment variables
cli       the copilot-socket command
demo      a made-up GitLab and crawlers, to try everything on one machine
node      the composition root: creates and connects the parts of a node
activation, notify   sockets inherited from the service manager, and notifications to it
tap       the twistd plugin: configuration, database, node, signals

Imports go one way: core imports no other package; wire and store import core; handlers import
core, wire's messages and the store; client imports core; node, tap and cli may import everything.
"""

__version__ = "0.1.0"
