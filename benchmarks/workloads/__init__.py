"""The workloads: one module each, with a function that takes a ``Run`` and a ``Result``."""
