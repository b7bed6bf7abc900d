"""Measurements (docs/performance.md): ``python -m benchmarks``. Nothing here is asserted by a test.

``suite`` runs ``workloads`` (what is done) with this server and its ``peers`` (who else does it), in turns;
``driver`` is the crawlers' side; ``bench`` holds the database and the node that are measured; ``report``, ``targets``
and ``plots`` show what came out.
"""
