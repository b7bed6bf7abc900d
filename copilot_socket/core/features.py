"""What this server understands, as ``welcome`` says it."""

PROTOCOL_VERSION = "1"
CAPABILITIES = frozenset({"ack", "commands"})
"""What a crawler may list in its ``hello``."""
FEATURES = ("cause", "commands", "job_released", "rate_limit")
"""What goes beyond the first edition of the protocol."""
