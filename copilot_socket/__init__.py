"""The job server for GitLab crawlers.

core      pure rules: messages, states, folding, back-off (no reactor, no I/O, no clock)
wire      bytes to messages and back: framing, schemas, the LineReceiver
handlers  what each message does
store     PostgreSQL: pool, group-commit writer, claims, listener, migrations
http      health, metrics, the API
client    for authors of crawlers
cli       the copilot-socket command
demo      a made-up GitLab and crawlers, for trying everything on one machine
tap       the only place where the parts are wired together

Imports go one way: core imports nothing of ours; wire and store import core; handlers import
core, wire's messages and the store; tap and cli may import everything.
"""

__version__ = "0.1.0"
