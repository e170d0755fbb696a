"""Versions of installed libraries."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata


def find_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution that is installed, in the order of ``names``."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
