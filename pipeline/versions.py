"""Versions of installed libraries, and what differs between those of XGBoost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Literal

XGBOOST_PACKAGES = ("xgboost", "xgboost-cpu", "xgboost-cu12", "xgboost-cu13")
"""Distributions of the module ``xgboost``; a stub (`find_xgboost_cuda`) requires the first."""
XGBoostChange = Literal["plain_is_cuda_13", "updaters_share_rng", "sketch_windows"]
XGBOOST_CHANGES: Mapping[XGBoostChange, tuple[int, int]] = {
    # The distribution `xgboost` is built for CUDA 13 (before: 12). The one that was built for it
    # until then becomes a stub, which requires `xgboost`.
    "plain_is_cuda_13": (3, 4),
    # A booster has one generator of random numbers, which must draw as often on every worker.
    # Before, each tree updater had its own, which continued from tree to tree and was in no file.
    "updaters_share_rng": (3, 3),
    # A GPU sorts 2^26 values at a time for the quantiles. Before, as many as half its memory holds.
    "sketch_windows": (3, 3),
}
"""The behaviours that depend on XGBoost's version, with the first version that has each."""


def find_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution that is installed, in the order of ``names``."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def has_change(change: XGBoostChange, version: str | None = None) -> bool:
    """Return whether a version of XGBoost, by default the installed one, has a change."""
    if version is None:
        version = next(iter(find_versions(XGBOOST_PACKAGES).values()), "0")
    parts = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return tuple(parts) >= XGBOOST_CHANGES[change]


def find_xgboost_cuda(name: str, version: str) -> int | None:
    """Return the CUDA major version of a distribution of XGBoost; 0: CPU only; None: a stub."""
    plain = 13 if has_change("plain_is_cuda_13", version) else 12
    major = {"xgboost": plain, "xgboost-cpu": 0, "xgboost-cu12": 12, "xgboost-cu13": 13}[name]
    # the stub of the version that `xgboost` itself is built for has no files
    return None if name != "xgboost" and major == plain else major
