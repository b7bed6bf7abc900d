"""The JavaScript client, as far as Python can tell; ops/tests/test_javascript.py runs it."""
