"""Builds the package (PEP 517): setuptools, which finds the dashboard's libraries in place (vendor.py).

Sdists hold no code of others: whoever builds a wheel from one fetches it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from npm import PACKAGE, NpmFailed
from setuptools import build_meta
from setuptools.build_meta import build_sdist, get_requires_for_build_sdist
from vendor import LIBRARIES, VENDOR, bring, present

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]
Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What building a wheel takes: npm, too, where the machine has none and the libraries are not there yet."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_npm_wanted()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """The same for an editable installation."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_npm_wanted()]


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """Metadata name the licences of the libraries."""
    with _libraries():
        return build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings = None) -> str:
    """The same for an editable installation."""
    with _libraries():
        return build_meta.prepare_metadata_for_build_editable(metadata_directory, config_settings)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """A wheel with the libraries and their licences."""
    with _libraries():
        return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """An editable installation; the libraries are in the checkout."""
    with _libraries():
        return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


def _npm_wanted() -> list[str]:
    return [] if present() or shutil.which("npm") is not None else [PACKAGE]


@contextmanager
def _libraries() -> Iterator[None]:
    """The libraries are in vendor/, and their licences where setuptools looks for LICENSE*; these only meanwhile.

    As ``license_files`` of setup.cfg they would be in sdists, too, whenever vendor/ is there.
    """
    try:
        bring()
    except NpmFailed as error:
        raise SystemExit(f"\n{error}\n") from None
    licenses = {name: Path(f"LICENSE-{name}.txt") for name in LIBRARIES}
    try:
        for name, license_ in licenses.items():
            shutil.copyfile(VENDOR / f"{name}.LICENSE.txt", license_)
        yield
    finally:
        for license_ in licenses.values():
            license_.unlink(missing_ok=True)
