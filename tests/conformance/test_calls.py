"""Every call of a GPU library in the product and its benchmarks binds to what is installed.

Those of RAPIDS are `slow`, and need RAPIDS (which imports without a GPU): ``pytest -m slow
tests/conformance/test_calls.py`` in an environment with the extra ``gpu``, once per upgrade.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from calls import followed, wrong

ROOT = Path(__file__).parents[2]
SOURCES = [p for top in ("pipeline", "benchmarks") for p in sorted((ROOT / top).rglob("*.py"))]
RAPIDS = ("cudf", "cupy", "cuml", "rmm", "nvforest", "dask_cuda", "dask_cudf")


@pytest.mark.parametrize(
    "library",
    ["xgboost", "treelite", "pynvml", *(pytest.param(n, marks=pytest.mark.slow) for n in RAPIDS)],
)
def test_calls_bind(library):
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install '.[gpu]'")
    texts = {p: t for p in SOURCES if library in (t := p.read_text())}
    assert [f"{p}:{w}" for p, t in texts.items() for w in wrong(t, {library})] == []


def test_nvml_has_every_name():
    import pynvml

    texts = "".join(
        p.read_text() for p in SOURCES if {"device", "doctor", "telemetry"} & {*p.parts}
    )
    names = set(re.findall(r"\b(?:nvml[A-Z]\w+|NVML_\w+|NVMLError_\w+)", texts))
    assert len(names) > 30
    assert [name for name in sorted(names) if not hasattr(pynvml, name)] == []


TEXT = """
import json as j
from json import dumps
from json.decoder import JSONDecoder as Decoder, scanner

def f(bare, options):
    kind = j.dumps if bare else dumps
    kind({}, indent=2, **options)
    j.CALL
    return Decoder(strict=True), scanner.make_scanner
"""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("loads('1')", None),
        ("loads('1', cls=None, anything=1)", None),  # it takes what it does not know
        ("tool.main()", None),  # a module that nobody has imported
        ("load('1', '2')", "takes 1 positional argument"),
        ("detect_encoding(b=1, c=2)", "unexpected keyword argument 'c'"),
        ("detect_encoding()", "missing a required argument"),
        ("lods('1')", "json.lods does not exist"),
    ],
)
def test_what_is_wrong_is_found(call, said):
    text = TEXT.replace("CALL", call)
    found = wrong(text, {"json"})
    assert found == [] if said is None else len(found) == 1
    assert said is None or said in found[0] or "too many positional" in found[0]
    assert {"json.dumps", "json.decoder.JSONDecoder"} <= followed(text, {"json"})


def test_both_ways_of_a_choice_are_followed():
    text = (
        "from json import dumps, detect_encoding\nkind = dumps if x else detect_encoding\nkind(b=1)"
    )
    (found,) = wrong(text, {"json"})
    assert found.startswith("3: json.dumps")
