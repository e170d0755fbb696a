"""Every op, and the device-independent frame code, behind the cuDF and CuPy stand-ins."""

from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import CASES, setting
from conformance import Findings, lint, masked, wrap
from conforming import ConformingDevice, assert_on_the_host

from pipeline.config.model import Split
from pipeline.device import cpu
from pipeline.expression import parse
from pipeline.features.auto import profile
from pipeline.features.engine import transform
from pipeline.features.registry import REGISTRY, parse_op
from pipeline.features.try_op import make_frame
from pipeline.ingest.labels import assign
from pipeline.ingest.labels import split as splitting
from pipeline.ingest.labels import target as targets
from pipeline.matrix import Feature, Target
from pipeline.schema import LABEL, SET

PACKAGE = Path(transform.__file__).parents[2]


@pytest.fixture(params=["plain", "nullable"])
def form(request):
    """How the frames come: in storage dtypes, or all nullable."""
    return masked if request.param == "nullable" else lambda frame: frame


@pytest.mark.parametrize("chosen", CASES, ids=lambda c: c.id)
def test_every_op_uses_only_what_cudf_has(chosen, form):
    given, found = setting(chosen), Findings()
    device, op = ConformingDevice(found), given.op

    def placed(part):
        frame, rows = part
        return wrap(form(frame), found), given.rows(
            cpu.to_host(rows.ids) if rows.label is not None else np.arange(0), device
        )

    def stepped(frame, rows, state, step):
        settled = op.resolve_outputs(state)
        seen = frame[op.reads(given.schema)]
        return device.to_host(getattr(settled, step)(seen, state, rows))

    state = op.prepare(given.schema, given.tables)
    expected_state = state
    for _ in range(op.n_passes if op.requires_fit else 0):
        summaries, plain = [], []
        for part in given.parts(2):
            frame, rows = placed(part)
            summaries.append(op.summarise(frame[op.reads(given.schema)], rows, state))
            assert_on_the_host(summaries[-1])
            plain.append(op.summarise(part[0][op.reads(given.schema)], part[1], expected_state))
        state = op.finish(reduce(op.merge, summaries), state)
        expected_state = op.finish(reduce(op.merge, plain), expected_state)
    assert_on_the_host(state, "the state")

    settled = op.resolve_outputs(expected_state)
    for part in given.parts(2):
        for step in ("transform", "transform_train"):
            made = stepped(*placed(part), state, step)
            expected = getattr(settled, step)(
                part[0][op.reads(given.schema)], expected_state, part[1]
            )
            assert_same(form(made), form(expected))
    frame, rows = given.fresh()
    on_gpu = given.rows(
        np.arange(0), device, ids=device.to_device(rows.ids), label=None, predicting=True
    )
    made = stepped(wrap(form(frame), found), on_gpu, state, "transform")
    expected = settled.transform(frame[op.reads(given.schema)], expected_state, rows)
    assert_same(form(made), form(expected))
    assert found.errors == []


def assert_same(made, expected):
    # float32 where float64 is meant differs by 1e-8; rows added in another order by 1e-16
    pd.testing.assert_frame_equal(made, expected, rtol=1e-12, atol=0)


def test_all_ops_are_covered():
    assert {c.op_name for c in CASES} == set(REGISTRY)


# -- frame code beside the ops ---------------------------------------------------------------------

EXPRESSIONS = [
    "`a.b c` * 2 + x", "x / `a.b c`", "big // 3 - big % 7", "x ** 2 > 4 or bool", "not bool and x > 1",
    "`text é` in ['a', 'ü ß']", "`text é` < 'b'", "code in [1, 2, 3]", "later - when",
    "when > '2020-06-01'", "coalesce(x, lat, 0)", "where(bool, x, lat)", "is_missing(`no text`)",
    "min(x, lat, lon)", "max(`a.b c`, code)", "round(x, 1)", "abs(lat)", "1 < x < 3", "-x", "none + 1",
]  # fmt: skip


@pytest.fixture
def mixed_frame():
    return setting(CASES[0])


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions(text, form, mixed_frame):
    found = Findings()
    device = ConformingDevice(found)
    made = parse(text).evaluate(wrap(form(mixed_frame.host), found), device)
    expected = parse(text).evaluate(mixed_frame.host, cpu)
    pd.testing.assert_series_equal(device.to_host(made), expected, rtol=1e-12, atol=0)
    assert found.errors == []


@pytest.mark.parametrize(
    "split",
    [
        Split(valid=0.1, test=0.2),
        Split(by="time", column="id", valid=0.1, test=0.2),
        Split(by="group", column="id", valid=0.1, test=0.2),
        Split(by="column", column="set"),
    ],
    ids=lambda s: s.by,
)
def test_split(split, form):
    data = {**CASES[0].data(), "set": np.array(["train", "valid", "test"])[np.arange(240) % 3]}
    _, host = make_frame(data)
    found = Findings()
    device = ConformingDevice(found)
    frame = wrap(form(host), found)
    cuts = splitting.choose_cuts(splitting.sample_times(frame, split, device, 0, 1.0), split)
    made = device.to_host(splitting.assign_sets(frame, split, cuts, device, 0))
    again = splitting.choose_cuts(splitting.sample_times(host, split, cpu, 0, 1.0), split)
    np.testing.assert_array_equal(made, splitting.assign_sets(host, split, again, cpu, 0))
    assert found.errors == []


@pytest.mark.parametrize("text", ["x > 2", "x", "`text é`", "code", "`a.b c` * 2", "bool"])
def test_target(text, form, mixed_frame):
    host, found = mixed_frame.host, Findings()
    device = ConformingDevice(found)
    frame = wrap(form(host), found)
    summary = targets.summarise_target(parse(text).evaluate(frame, device), device)
    assert summary == targets.summarise_target(parse(text).evaluate(host, cpu), cpu)
    values = sorted(summary.counts)
    for target in (Target("regression"), Target("multiclass", tuple(values))):
        if target.task == "regression" and summary.dtype == "text":
            continue
        made = targets.encode_labels(parse(text).evaluate(frame, device), target, device)
        np.testing.assert_array_equal(
            device.to_host(made),
            targets.encode_labels(parse(text).evaluate(host, cpu), target, cpu),
        )
    assert found.errors == []


def test_preparation_chain_and_profile(form, mixed_frame, monkeypatch):
    """From read frames to matrices, as a run does it."""
    found = Findings()
    device = ConformingDevice(found)
    for module in (assign, transform, profile):
        monkeypatch.setattr(module, "frames_of", lambda name: device if name == "stand-in" else cpu)
    schema, target = mixed_frame.schema, Target("binary", (False, True))
    entries = [
        {"target_encode": {"columns": ["text é"], "folds": 3}},
        {"fill": {"columns": ["a.b c"], "with": "median"}},
        {"derive": {"y": "lat + `a.b c`"}},
        {"drop": ["none", "digits"]},
    ]

    def run(name, frame):
        spec = assign.LabelSpec(
            name, parse("x > 2"), (parse("code > 0"),), Split(valid=0.2, test=0.2), 0, 1.0, None,
            tuple(schema.names),
        )  # fmt: skip
        look = assign.scan_partition(frame, spec)
        rows = assign.assign_labels(frame, spec, target, None)
        counts = assign.count_rows(rows, name, 2, 0, 0.5)
        context = transform.TransformContext(name, 0, "binary", 2)
        steps, current = [], schema
        for op in map(parse_op, entries):
            step = transform.Step(op, current, op.prepare(current, {}), not op.requires_fit)
            if op.requires_fit:
                summary = transform.summarise_steps(rows, [*steps, step], [len(steps)], context)[
                    len(steps)
                ]
                step = transform.Step(op, current, op.finish(summary, step.state), True)
            steps.append(step)
            current = op.output_schema(current)
        names = ["text é", "a.b c", "x", "y", "lat", "bool", "code"]
        features = [Feature(n, "c" if n == "code" else "q") for n in names]
        made = transform.build_matrices(rows, steps, features, context)
        numbers = transform.hash_group(rows, ["text é", "when"], name)
        seen = profile.finish(profile.summarise(rows, schema, context), schema)
        trained = transform.transform_frame(rows, steps, context)
        return look, counts, made, numbers, seen, trained, assign.assign_all_to_train(rows, name)

    theirs, ours = (
        run("stand-in", wrap(form(mixed_frame.host), found)),
        run("cpu", mixed_frame.host),
    )
    assert theirs[:2] == ours[:2]
    assert list(theirs[2]) == list(ours[2]) == ["train", "valid", "test"]
    for name, matrix in ours[2].items():
        for a, b in zip(theirs[2][name], matrix, strict=True):
            assert (a is None) == (b is None)
            if b is not None:
                np.testing.assert_array_equal(device.to_host(a), b)
    np.testing.assert_array_equal(device.to_host(theirs[3]), ours[3])
    assert theirs[4] == ours[4]
    assert len(theirs[5]) == len(ours[5])
    assert set(device.to_host(theirs[6])[SET]) == {0}
    assert LABEL in theirs[6].columns
    assert found.errors == []


# -- without running anything ----------------------------------------------------------------------

# Names of our own, and of NumPy, `re` and `ast` on host values, which are no attributes of frames.
OURS = frozenset({"arrays", "array", "level", "item", "fullmatch", "encode", "codes"})
OURS_IN = {
    "count_encode.py": {"normalize"}, "split.py": {"test", "argmin"}, "join.py": {"Timestamp"},
    "syntax.py": {"decode", "compare", "encode"},
}  # fmt: skip
ON_THE_HOST = {"choose.py", "try_op.py", "state_io.py", "registry.py", "saved_state.py"}


@pytest.mark.parametrize(
    "path",
    [
        p
        for folder in ("features", "expression", "ingest")
        for p in sorted((PACKAGE / folder).rglob("*.py"))
        if p.name not in ON_THE_HOST
        and (folder != "ingest" or p.name in {"assign.py", "split.py", "target.py"})
    ],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_frame_code_names_nothing_that_cudf_lacks(path):
    assert lint(path.read_text(), OURS | OURS_IN.get(path.name, set())) == []
