"""What is declared: extras, one XGBoost, pins without addresses, and files that go into the wheel."""

from __future__ import annotations

import os
import re
import sys
import tomllib
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pipeline
from pipeline.device import cpu
from pipeline.doctor.packages import choose_xgboost
from pipeline.features.op import Rows
from pipeline.features.try_op import fit_op, make_frame
from pipeline.versions import find_xgboost_cuda

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: list(map(Requirement, r)) for name, r in PROJECT["optional-dependencies"].items()}
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
MACHINES = {
    "Linux on x86-64": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Linux on aarch64": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "macOS": {"sys_platform": "darwin", "platform_machine": "arm64"},
}
PYTHONS = ("3.11", "3.12", "3.13")
ENVIRONMENTS = [
    {**machine, "python_version": python} for machine in MACHINES.values() for python in PYTHONS
]


def applies(requirement, **environment):
    return requirement.marker is None or requirement.marker.evaluate(environment)


def find_pins(name, **environment):
    pins = [p for p in PINS if canonicalize_name(p.name) == canonicalize_name(name)]
    return [p for p in pins if applies(p, **environment)]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("extra", "cuda"), [("cpu", 0), ("gpu", 13), ("gpu-cu12", 12)])
def test_one_xgboost_per_extra(extra, cuda, machine, python):
    environment = {**MACHINES[machine], "python_version": python}
    packages = [r for r in EXTRAS[extra] if "xgboost" in r.name and applies(r, **environment)]
    assert len(packages) == 1
    (pin,) = find_pins(packages[0].name, **environment)
    (exact,) = pin.specifier
    assert exact.version.startswith("3.2." if python == "3.11" else "3.4.")
    if extra == "cpu":  # XGBoost 3.2 has no CPU wheel for aarch64
        has_wheel = machine == "Linux on x86-64" or (machine != "macOS" and python != "3.11")
        assert (packages[0].name == "xgboost-cpu") == has_wheel
    else:
        assert find_xgboost_cuda(packages[0].name, exact.version) == cuda


@pytest.mark.skipif(sys.platform != "linux", reason="the extra cpu has another XGBoost")
def test_the_doctor_names_the_xgboost_of_the_extra():
    for extra in ("cpu", "gpu", "gpu-cu12"):
        (wanted,) = (r for r in EXTRAS[extra] if "xgboost" in r.name and applies(r))
        assert f"{wanted.name}{wanted.specifier}" == choose_xgboost(extra)


def test_xgboost_is_in_no_other_list():
    others = [r for n, rs in EXTRAS.items() if n not in ("cpu", "gpu", "gpu-cu12") for r in rs]
    others += map(Requirement, PROJECT["dependencies"])
    assert not [r for r in others if "xgboost" in r.name]


def test_rapids_is_in_the_gpu_extras_alone():
    rapids = re.compile(r"cudf|cuml|cupy|rmm|nvforest|dask-cuda")
    assert {n for n, rs in EXTRAS.items() if any(rapids.search(r.name) for r in rs)} == {
        "gpu",
        "gpu-cu12",
    }


def test_the_version_is_said_once():
    assert PROJECT["version"] == pipeline.__version__


def test_pins_are_exact_and_have_no_addresses():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|@|^-|index-url", text, re.MULTILINE)
    for pin in PINS:
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin


def test_every_direct_requirement_is_pinned_within_its_range():
    direct = [*map(Requirement, PROJECT["dependencies"])]
    direct += [r for e in ("cpu", "test", "dev", "fuzz", "docs") for r in EXTRAS[e]]
    for requirement in direct:
        for environment in ENVIRONMENTS:
            if applies(requirement, **environment):
                (pin,) = find_pins(requirement.name, **environment)
                (exact,) = pin.specifier
                assert requirement.specifier.contains(exact.version, prereleases=True), requirement


def test_pins_cover_what_the_requirements_require():
    todo = [r for e in ("cpu", "test", "dev", "fuzz", "docs") for r in EXTRAS[e]]
    todo += map(Requirement, PROJECT["dependencies"])
    seen = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not wanted or name in seen:
            continue
        seen.add(name)
        assert find_pins(name), f"{name} is not pinned"
        try:
            todo += map(Requirement, metadata.requires(name) or [])
        except metadata.PackageNotFoundError:
            continue  # dev tools need not be installed where the tests run
    assert len(seen) > 40


def test_the_check_command_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_files_beside_the_modules_are_package_data():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    declared = tool["setuptools"]["package-data"]
    kinds = {".py", ".pyc"}
    files = [f for f in (ROOT / "pipeline").rglob("*") if f.is_file() and f.suffix not in kinds]
    for file in files:
        package = ".".join(file.parent.relative_to(ROOT).parts)
        assert any(file.match(pattern) for pattern in declared.get(package, [])), file


def test_the_op_skeleton_of_the_guide_is_an_op():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    module = types.ModuleType("center")
    sys.modules[module.__name__] = module  # pydantic looks annotations up there
    try:
        exec(compile(code, "CONTRIBUTING.md", "exec"), module.__dict__)
        op = module.Center.model_validate({"columns": ["x"]})
        schema, frame = make_frame({"x": [1.0, 2.0, None, 6.0]})
        rows = Rows(cpu, np.arange(4))
        halves = [
            (frame.iloc[a:b], Rows(cpu, np.arange(a, b))) for a, b in [(0, 3), (3, 4), (4, 4)]
        ]
        state = fit_op(op, schema, halves)
        made = op.transform(frame, state, rows)
        assert [c.name for c in op.produces(schema)] == list(made.columns)
        assert made["x"].tolist()[:2] == [-2.0, -1.0]
        assert np.isnan(made["x"][2])
    finally:
        del sys.modules[module.__name__]
