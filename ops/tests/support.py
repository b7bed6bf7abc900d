"""What the tests of ``ops/`` share."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from unittest import skipUnless

OPS = Path(__file__).resolve().parents[1]
"""The directory ``ops/`` that is tested."""

T = TypeVar("T")


def needs(*programs: str) -> Callable[[T], T]:
    """Skip a test case, saying why, on a machine without one of *programs*."""
    missing = [program for program in programs if shutil.which(program) is None]
    return skipUnless(not missing, f"not installed here: {', '.join(missing)}")
