"""What every op of this folder must keep, whatever its mathematics: used by the tests of each."""

import numpy as np
import pandas as pd

from pipeline.artifacts.files import read_json, write_json
from pipeline.device import cpu, dtype_of
from pipeline.features.engine import state_io as stored
from pipeline.features.op import Rows
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import fit_op, make_frame


def any_rows(n=300, seed=0):
    """Columns of every dtype, each with missing values, and odd names."""
    rng = np.random.default_rng(seed)

    def gaps(values, dtype):
        return pd.Series(values).astype(dtype).mask(rng.random(n) < 0.15)

    words = np.array(["a", "b", "ü ß", "", "x__y"], dtype=object)
    return {
        "text é": gaps(rng.choice(words, n, p=[0.4, 0.3, 0.2, 0.05, 0.05]), object),
        "a.b c": gaps(rng.integers(-4, 9, n), "Int64"),
        "float": gaps(rng.normal(3, 2, n).round(2), "float64"),
        "bool": gaps(rng.random(n) < 0.4, "boolean"),
        "when": gaps(
            pd.to_datetime("2020-02-20") + pd.to_timedelta(rng.integers(0, 9999, n), "h"),
            "datetime64[us]",
        ),
        "empty": pd.Series(np.full(n, np.nan)),
    }


def split(frame, parts, device=cpu):
    """Partitions of a host frame with their rows, one of them empty, on the device."""
    cuts = [*np.array_split(np.arange(len(frame)), parts), np.arange(0)]
    return [
        (
            device.to_device(frame.iloc[i].reset_index(drop=True)),
            Rows(device, device.to_device(np.asarray(i, dtype="int64"))),
        )
        for i in cuts
    ]


def fitted(entry, data, parts=1, device=cpu):
    """(op, schema, state) fitted over so many partitions."""
    op = parse_op(entry)
    schema, host = make_frame(data)
    return op, schema, fit_op(op, schema, split(host, parts, device))


def assert_same(a, b, rel=1e-12):
    """States (or parts of them) are equal; floats within ``rel``."""
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, rtol=rel, atol=0)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key], rel)
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y, rel)
    elif isinstance(a, float):
        assert isinstance(b, float)
        assert np.isclose(a, b, rtol=rel, atol=1e-12)
    else:
        assert type(a) is type(b)
        assert a == b


def assert_lawful(entry, data, folder, device=cpu):
    """Partitioning, storage, declared columns, untouched input, missing rows, no rows."""
    op, schema, state = fitted(entry, data, 1, device)
    for parts in (3, 17):
        assert_same(state, fitted(entry, data, parts, device)[2])
    write_json(folder / "plan.json", stored.dump(state, folder, 0))
    state = stored.load(read_json(folder / "plan.json"), folder)
    op = parse_op(dump_op(op)).resolve_outputs(state)
    assert parse_op(dump_op(op)) == op
    _, host = make_frame(data)
    ((frame, rows), (none, no_rows)) = split(host, 1, device)
    reads = op.reads(schema)
    before = host.copy(deep=True)
    whole = device.to_host(op.transform(frame[reads], state, rows))
    pd.testing.assert_frame_equal(device.to_host(frame), before)
    declared = op.produces(schema)
    for made in (whole, device.to_host(op.transform(none[reads], state, no_rows))):
        assert list(made.columns) == [c.name for c in declared]
        assert [dtype_of(made[c.name]) for c in declared] == [c.dtype for c in declared]
    assert len(whole) == len(host)
    pieces = [op.transform(f[reads], state, r) for f, r in split(host, 5, device)]
    joined = device.to_host(device.concat(pieces)).reset_index(drop=True)
    for name in whole.columns:  # text columns may list their values in another order
        assert plain(joined[name]) == plain(whole[name])
    return whole, state


def plain(series):
    """Python values, None where missing."""
    return series.astype(object).where(series.notna(), None).tolist()
