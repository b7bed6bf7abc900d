"""Measurements (docs/development.md). Nothing here is asserted by a test."""
