"""Measurements (docs/performance.md): ``python -m benchmarks``. No test asserts a figure.

``suite`` runs ``workloads`` alternately with this server and its ``peers``; ``driver`` simulates crawlers; ``bench``
holds the database and the node that are measured; ``report``, ``targets`` and ``plots`` show the results.
"""
