"""Events of a demo process: one JSON object per line on its standard output."""

import json
import sys
from typing import Any


def emit(event: str, **fields: Any) -> None:
    """Write *event* and flush."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()
