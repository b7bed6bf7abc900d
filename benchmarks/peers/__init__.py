"""The peers: one module each; and as limits, PostgreSQL alone."""
