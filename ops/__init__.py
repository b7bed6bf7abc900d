"""Files for whoever runs a node, and in ``tests/`` the tests that run them (docs/deployment.md)."""
