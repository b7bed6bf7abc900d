"""Asks the node of this container whether it is well: ``healthy.py PATH``. Exit status 0 for the answer 200, or 1."""

import os
import sys
from http.client import HTTPConnection

port = int(os.environ.get("COPILOT_HTTP_PORT") or os.environ.get("PORT") or 3000)
connection = HTTPConnection("127.0.0.1", port, timeout=4)
try:
    connection.request("GET", sys.argv[1])
    answer = connection.getresponse()
    sys.stdout.write(answer.read().decode("utf-8", "replace"))
except OSError as error:
    sys.exit(f"port {port} does not answer: {error}")
sys.exit(answer.status != 200)
