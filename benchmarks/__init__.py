"""Measurements. Nothing here is asserted by a test; see docs/performance.md for what the figures mean."""
