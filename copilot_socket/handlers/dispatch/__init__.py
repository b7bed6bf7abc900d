"""Dispatch: who waits for jobs, what is claimed for whom, and how it gets there."""
