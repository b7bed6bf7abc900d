"""The job server for GitLab crawlers.

core      pure rules: messages, states, folding, back-off (no reactor, no I/O, no clock)
wire      bytes to messages and back: framing, schemas, the protocol
handlers  what each message does
store     PostgreSQL: pool, group-commit writer, claims, listener, migrations
http      health, metrics, the API
client    for authors of crawlers
config    every variable of the environment
cli       the copilot-socket command
demo      a made-up GitLab and crawlers, for trying everything on one machine
node      the only place where the parts of a node are wired together
activation, notify   sockets from the service manager, and what it is told
tap       the twistd service: configuration, database, node, signals

Imports go one way: core imports nothing of ours; wire and store import core; handlers import
core, wire's messages and the store; node, tap and cli may import everything.
"""

__version__ = "0.1.0"
