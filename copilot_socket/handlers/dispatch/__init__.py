"""Dispatch: pending requests, planning of claims, and delivery of claimed jobs."""
