"""That the stand-ins catch mistakes: each of these runs on pandas and fails or differs on cuDF."""

import numpy as np
import pandas as pd
import pytest
from arrays import Array, NotOnTheDevice, Xp
from conformance import Findings, check, lint, wrap
from conforming import ConformingDevice

FRAME = pd.DataFrame({
    "a": list("cabcab"), "x": [3.0, 1.0, 2.0, None, 5.0, 4.0], "n": [3, 1, 2, 9, 5, 4],
    "t": pd.date_range("2020-01-01", periods=6), "c": pd.Categorical(list("xyxyx") + [None]),
})  # fmt: skip
OTHER = pd.DataFrame({"a": list("abc"), "y": [1, 2, 3]})


@pytest.mark.parametrize(
    ("layer", "mistake"),
    [
        ("default", lambda f: f.groupby("a").sum()),
        ("default", lambda f: f["a"].str.replace("c", "d")),
        ("name", lambda f: list(f["x"])),
        ("name", lambda f: f["x"].tolist()),
        ("name", lambda f: np.asarray(f["x"])),
        ("name", lambda f: f.groupby("a", sort=True).filter(lambda g: len(g) > 1)),
        ("name", lambda f: f["n"].expanding().sum()),
        ("name", lambda f: f["t"].dt.normalize()),
        ("name", lambda f: f["t"].dt.to_period("M")),
        ("name", lambda f: f.set_axis(range(6))),
        ("name", lambda f: f["x"].idxmax()),
        ("name", lambda f: f["x"].transform(np.sqrt)),
        ("guard", lambda f: f.sort_values("n", key=lambda s: -s)),
        ("guard", lambda f: f.sort_values("n", inplace=True)),
        ("guard", lambda f: f.merge(OTHER, on="a", validate="m:1")),
        ("guard", lambda f: f["x"].rolling(2, step=2)),
        ("guard", lambda f: f.groupby("a", sort=True, observed=False)),
        ("bind", lambda f: f["x"].fillna(value=0, method="ffill")),
        # values of groups: x has a missing one
        ("nan", lambda f: f.groupby("a", sort=True)["x"].sum()),
        ("nan", lambda f: f.groupby("a", sort=True)[["n", "x"]].mean()),
        ("nan", lambda f: f.groupby("a", sort=True).agg({"n": "sum", "x": "max"})),
        ("nan", lambda f: f.groupby("a", sort=True).agg(most=("x", "max"))),
        ("nan", lambda f: f.groupby("a", sort=True)["x"].transform("mean")),
        (
            "nan",
            lambda f: (f["n"] / (f["n"] - 3)).where(f["n"] > 5).groupby(f["a"], sort=True).count(),
        ),
        # indexes of times
        ("name", lambda f: f.set_index("t").index.snap("D")),
        ("name", lambda f: f.set_index("t").index.as_unit("s")),
        ("name", lambda f: f.set_index("t").index.shift(1, "D")),
        ("name", lambda f: f.set_index("t").index.map(str)),
        ("name", lambda f: f.set_index("t").index.freqstr),
        ("name", lambda f: f.set_index("t").index.date),
        ("name", lambda f: f.set_index("t").index.to_period("M")),
        ("default", lambda f: f.set_index("t").index.tz_localize("CET")),
        ("bind", lambda f: f.set_index("t").index.floor("h", ambiguous="NaT")),
        ("name", lambda f: (f.set_index("t").index - f["t"].min()).freq),
        ("name", lambda f: (f.set_index("t").index - f["t"].min()).as_unit("s")),
    ],
)
def test_a_mistake_is_found(layer, mistake):
    _, found = check(mistake, FRAME)
    assert layer in {f[0] for f in found.errors} or (layer == "guard" and found.errors), found.found


def test_groups_that_are_right_are_not_found():
    for right in (
        lambda f: f.groupby("a", sort=True)["n"].sum(),
        lambda f: f.groupby("a", sort=True).agg({"n": "sum"}),
        lambda f: f.groupby("a", sort=True).agg(n=("n", "max")),
        lambda f: f.groupby("a", sort=True)["x"].shift(1),
        lambda f: f.groupby("a", sort=True).size(),
        lambda f: f.assign(x=f["x"].fillna(0.0)).groupby("a", sort=True)["x"].sum(),
    ):
        assert check(right, FRAME)[1].errors == []
    # as nulls cuDF skips them too
    assert (
        check(lambda f: f.groupby("a", sort=True)["x"].sum(), FRAME, nullable=True)[1].errors == []
    )


def test_times_as_an_index_have_what_cudf_has():
    for right in (
        lambda f: f.set_index("t").index.year,
        lambda f: f.set_index("t").index.floor("D"),
        lambda f: f.set_index("t").index.normalize(),
        lambda f: f.set_index("t").index.strftime("%Y"),
        lambda f: f.set_index("t").index.max(),
        lambda f: (f.set_index("t").index - f["t"].min()).days,
    ):
        assert check(right, FRAME)[1].errors == []
    starts = check(lambda f: f.set_index("t").index.is_month_start, FRAME)[0]
    assert starts.tolist() == [True] + [False] * 5
    with pytest.raises(NotOnTheDevice):
        check(lambda f: f.set_index("t").index.is_month_start & np.ones(6, bool), FRAME)


@pytest.mark.parametrize(
    ("more", "layer"),
    [
        ({"tz": "CET"}, "guard"),
        ({"yearfirst": True}, "guard"),
        ({"normalize": True}, "bind"),
        ({}, None),
    ],
)
def test_an_index_of_times_is_made_as_cudf_makes_it(more, layer):
    _, found = check(lambda lib, f: lib.DatetimeIndex(f["t"], **more).year, FRAME, lib=True)
    assert [f[0] for f in found.errors] == ([layer] if layer else [])


QUOTIENTS = {  # cuDF's result dtype by that of the series which divides, or is divided by a number
    "int8": "float32", "int16": "float32", "int32": "float32", "uint8": "float32",
    "uint16": "float32", "bool": "float32", "int64": "float64", "uint32": "float64",
    "uint64": "float64", "float32": "float32", "float64": "float64",
}  # fmt: skip


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("dtype", QUOTIENTS)
def test_quotients_of_small_integers_are_float32(dtype, nullable):
    frame = pd.DataFrame({"a": np.array([1, 0, 1], dtype), "one": np.array([1, 1, 1], "int8")})
    for quotient in (
        lambda f: f["a"] / 3,
        lambda f: 3 / f["a"],
        lambda f: f["a"].div(3),
        lambda f: f["a"].rtruediv(3),
        lambda f: f["a"] / f["one"],
        lambda f: (f[["a"]] / 3)["a"],
    ):
        found, _ = check(quotient, frame, nullable=nullable)
        assert str(found.dtype).lower() == QUOTIENTS[dtype]
    assert (
        check(lambda f: f["a"] / 2**0.5, frame)[0].iloc[0]
        == frame["a"].astype(QUOTIENTS[dtype]).iloc[0] / 2**0.5
    )


def test_two_int32_are_float64_as_in_cudf():
    frame = pd.DataFrame({"a": np.array([1, 2], "int32")})
    assert check(lambda f: f["a"] / f["a"], frame)[0].dtype == "float64"


def test_what_relies_on_exact_quotients_is_seen_to_differ():
    """Seconds of an epoch as int32: cuDF's minutes are those of a float32."""
    frame = pd.DataFrame({"s": np.array([1_577_836_799], "int32")})
    careless = lambda f: (f["s"] / 60).astype("int64")  # noqa: E731
    careful = lambda f: (f["s"].astype("float64") / 60).astype("int64")  # noqa: E731
    assert not check(careless, frame)[0].equals(careless(frame))
    assert check(careful, frame)[0].equals(careful(frame))


def test_query_is_refused_by_the_lint_of_the_project():
    # cuDF has query, for numbers only, so the manifest cannot refuse it: test_architecture does.
    assert lint("frame.query('a > 1')") == []
    assert lint("pd.qcut(x, 4)\nframe.set_axis(y)") == [(1, "qcut"), (2, "set_axis")]


def test_the_library_is_checked():
    _, found = check(lambda lib, f: lib.qcut(f["x"], 2), FRAME, lib=True)
    assert ("name", "cudf.qcut", "not in cuDF") in found.errors


def test_chaos_shows_reliance_on_row_order():
    frame = pd.DataFrame({"a": np.arange(50) % 25, "n": np.arange(50)})
    careless = lambda f: f.groupby("a", sort=False)["n"].sum().reset_index(drop=True)  # noqa: E731
    careful = lambda f: f.groupby("a", sort=True)["n"].sum().reset_index(drop=True)  # noqa: E731
    assert not check(careless, frame)[0].equals(careless(frame))
    assert check(careful, frame)[0].equals(careful(frame))
    assert check(careless, frame, chaos=False)[0].equals(careless(frame))
    sides = pd.DataFrame({"a": np.arange(25), "y": np.arange(25)})
    joined = check(lambda f: f.merge(sides, on="a", how="left"), frame)[0]
    assert not joined.equals(frame.merge(sides, on="a", how="left"))


def test_missing_codes_are_null_as_in_cudf():
    assert check(lambda f: f["c"].cat.codes, FRAME)[0].isna().tolist() == [False] * 5 + [True]


def test_nullable_frames_follow_na_rules():
    above = lambda f: f["x"] > 2  # noqa: E731
    assert check(above, FRAME)[0].isna().sum() == 0
    assert check(above, FRAME, nullable=True)[0].isna().sum() == 1


@pytest.mark.parametrize(
    "mistake",
    [
        lambda a, xp: np.asarray(a),
        lambda a, xp: a + np.ones(3),
        lambda a, xp: np.ones(3) + a,
        lambda a, xp: xp.where(np.array([True, False, True]), a, 0),
        lambda a, xp: xp.concatenate([a, np.ones(3)]),
        lambda a, xp: a[np.array([0, 1])],
        lambda a, xp: list(a),
        lambda a, xp: [x for x in a],  # noqa: C416
        lambda a, xp: xp.nanpercentile_of_nothing(a),
        lambda a, xp: xp.char,
        lambda a, xp: np.union1d_of(a) if hasattr(np, "union1d_of") else np.vectorize(abs)(a),
        lambda a, xp: xp.unique(a, sorted=False),
        lambda a, xp: a.tofile_to,
        lambda a, xp: pd.Series(a),
        lambda a, xp: a.__setitem__(0, np.ones(1)),
    ],
)
def test_a_mistake_with_arrays_is_found(mistake):
    with pytest.raises((NotOnTheDevice, AttributeError, TypeError)):
        mistake(Array(np.arange(3.0)), Xp())


def test_what_cupy_does_is_allowed():
    a, xp = Array(np.array([2.0, np.nan, 1.0])), Xp()
    assert float(xp.where(xp.isnan(a), 0, a).sum()) == 3
    assert (a[~xp.isnan(a)] + 1).tolist() == [3, 2]
    assert int(xp.searchsorted(xp.asarray([1, 2, 3]), xp.asarray([2]))[0]) == 1
    assert bool((xp.arange(3) >= 0).all())
    assert np.sqrt(xp.arange(3)).tolist()[1] == 1


def test_the_device_tells_host_from_device():
    found = Findings()
    device = ConformingDevice(found)
    series = wrap(FRAME["x"], found)
    for wrong in (
        lambda: device.make_series(np.ones(3), "float64"),
        lambda: device.to_floats(FRAME["x"]),
        lambda: device.find_positions(series, Array(np.arange(3))),
        lambda: device.to_device(Array(np.arange(3))),
        lambda: device.to_host(np.arange(3)),
        lambda: device.make_text(np.zeros(2, "int32"), np.array(["a"], dtype=object)),
        lambda: device.make_frame({"x": FRAME["x"]}),
    ):
        with pytest.raises(NotOnTheDevice):
            wrong()
