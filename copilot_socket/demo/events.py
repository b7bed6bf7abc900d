"""What a demo process tells about itself: one JSON object a line on its standard output."""

import json
import sys
from typing import Any


def tell(event: str, **fields: Any) -> None:
    """Say at once that *event* has happened."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()
