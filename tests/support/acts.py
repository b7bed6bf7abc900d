"""Somebody, for what people do."""

from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import HTTP, Act

ACT = Act(HTTP, Actor("token:web", "127.0.0.1"), "test")
"""An act, where a test does not look at what is recorded."""
