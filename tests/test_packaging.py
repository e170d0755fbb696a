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
from pipeline.features.op import Rows
from pipeline.features.try_op import fit_op, make_frame

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: list(map(Requirement, r)) for name, r in PROJECT["optional-dependencies"].items()}
PINS = {
    canonicalize_name(r.name): r
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
    for r in [Requirement(line)]
}
MACHINES = {
    "Linux on x86-64": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Linux on aarch64": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "macOS": {"sys_platform": "darwin", "platform_machine": "arm64"},
}


def applies(requirement, **environment):
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("extra", ["cpu", "gpu", "gpu-cu12"])
def test_one_xgboost_per_extra(extra, machine):
    found = [r for r in EXTRAS[extra] if "xgboost" in r.name and applies(r, **MACHINES[machine])]
    assert len(found) == 1
    if extra == "cpu":
        assert (found[0].name == "xgboost-cpu") == (machine == "Linux on x86-64")


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
    for pin in PINS.values():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin


def test_every_direct_requirement_is_pinned_within_its_range():
    direct = [*map(Requirement, PROJECT["dependencies"])]
    direct += [r for e in ("cpu", "test", "dev", "fuzz", "docs") for r in EXTRAS[e]]
    for requirement in direct:
        pin = PINS[canonicalize_name(requirement.name)]
        (exact,) = pin.specifier
        assert requirement.specifier.contains(exact.version, prereleases=True), requirement
        for machine in MACHINES.values():
            assert applies(requirement, **machine) <= applies(pin, **machine), requirement


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
        assert name in PINS, f"{name} is not pinned"
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
