"""The versions of XGBoost: what each changes, and which distribution has the module."""

from importlib import metadata

import pytest
import xgboost

from pipeline import versions
from pipeline.versions import XGBOOST_CHANGES, find_xgboost_cuda, has_change


@pytest.mark.parametrize(
    ("change", "version", "expected"),
    [
        ("updaters_share_rng", "3.2.0", False),
        ("updaters_share_rng", "3.3.0", True),
        ("sketch_windows", "3.10.1", True),
        ("plain_is_cuda_13", "3.3.0", False),
        ("plain_is_cuda_13", "3.4.0rc1", True),
        ("plain_is_cuda_13", "4.0", True),
    ],
)
def test_a_change_has_a_first_version(change, version, expected):
    assert has_change(change, version) is expected


def test_the_installed_version_is_the_default():
    for change in XGBOOST_CHANGES:
        assert has_change(change) is has_change(change, xgboost.__version__)


@pytest.mark.parametrize(
    ("name", "version", "cuda"),
    [
        ("xgboost", "3.2.0", 12),
        ("xgboost", "3.4.1", 13),
        ("xgboost-cpu", "3.4.1", 0),
        ("xgboost-cu12", "3.2.0", None),
        ("xgboost-cu12", "3.4.1", 12),
        ("xgboost-cu13", "3.2.0", 13),
        ("xgboost-cu13", "3.4.1", None),
    ],
)
def test_cuda_of_a_distribution(name, version, cuda):
    assert find_xgboost_cuda(name, version) == cuda


def test_only_installed_distributions_have_versions(monkeypatch):
    def find(name):
        if name == "absent":
            raise metadata.PackageNotFoundError
        return f"{name} 1"

    monkeypatch.setattr(versions.metadata, "version", find)
    assert versions.find_versions(["b", "absent", "a"]) == {"b": "b 1", "a": "a 1"}
