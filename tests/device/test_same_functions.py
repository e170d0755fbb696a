"""Both devices have the functions of the protocol, with the same parameters; read, not imported."""

import ast
from pathlib import Path

import pytest

import pipeline.device as contract

FOLDER = Path(contract.__file__).parent


def functions(body):
    return {
        n.name: [a.arg for a in n.args.args if a.arg != "self"]
        for n in body
        if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")
    }


def module(path):
    return ast.parse((FOLDER / path).read_text()).body


PROTOCOL = functions(
    next(
        n for n in module("__init__.py") if isinstance(n, ast.ClassDef) and n.name == "Frames"
    ).body
)


@pytest.mark.parametrize("path", ["cpu.py", "gpu/frames.py"])
def test_a_device_has_every_function(path):
    assert len(PROTOCOL) >= 15
    found = functions(module(path))
    assert {n: found.get(n) for n in PROTOCOL} == PROTOCOL


@pytest.mark.parametrize(("path", "name"), [("cpu.py", "cpu"), ("gpu/frames.py", "gpu")])
def test_a_device_has_its_name_and_libraries(path, name):
    assigned = {t.id: n.value for n in module(path) if isinstance(n, ast.Assign) for t in n.targets}
    assert assigned["name"].value == name
    assert {"lib", "xp"} <= set(assigned)


def test_the_conforming_device_of_the_tests_is_complete():
    path = Path(__file__).parents[1] / "conformance" / "conforming.py"
    device = next(n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef))
    found = functions(device.body)
    assert {n: found.get(n) for n in PROTOCOL} == PROTOCOL
