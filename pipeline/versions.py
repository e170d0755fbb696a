"""Versions of the libraries that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata


def find_versions(names: Iterable[str]) -> dict[str, str]:
    """Version by distribution, in the order given, of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
