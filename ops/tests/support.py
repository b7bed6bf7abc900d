"""What the tests of ``ops/`` share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from unittest import skipUnless

OPS = Path(__file__).resolve().parents[1]
CHECKOUT = Path(os.environ.get("COPILOT_CHECKOUT", OPS.parent))
"""The directory ``ops/`` that is tested."""

T = TypeVar("T")


def needs(*programs: str) -> Callable[[T], T]:
    """Skip a test case, saying why, on a machine without one of *programs*."""
    missing = [program for program in programs if shutil.which(program) is None]
    return skipUnless(not missing, f"not installed here: {', '.join(missing)}")
