"""hash: golden codes, so that no release or device moves a row to another code."""

import struct

import numpy as np
import pandas as pd
import pytest
from op_laws import any_rows, assert_lawful, plain
from sklearn.utils import murmurhash3_32

from pipeline.errors import ConfigError
from pipeline.features.registry import parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column


@pytest.mark.parametrize(
    "entry", [{"columns": "all"}, {"columns": "all", "size": 7, "seed": 3, "as": "{column} h"}]
)
def test_keeps_the_laws(entry, tmp_path, device):
    data = any_rows()
    made, _ = assert_lawful({"hash": entry}, data, tmp_path, device)
    _, host = make_frame(data)
    assert np.array_equal(made.isna().to_numpy(), host.isna().to_numpy())
    assert made.max().max() < entry.get("size", 1024)


def test_text_is_murmur3_of_its_utf8_bytes(device):
    words = ["", "a", "ü ß", None, "😀"]
    made = try_op("hash: {columns: x, size: 1000, seed: 5}", {"x": words}, device=device)
    expected = [
        None if w is None else murmurhash3_32(w.encode(), seed=5, positive=True) % 1000
        for w in words
    ]
    assert plain(made["x"]) == expected


GOLDEN = {
    "t": [630004, 105160],
    "i": [991556, 907244],
    "f": [671676, 361116],
    "b": [991556, 671676],
    "w": [338565, 489936],
}


def test_golden_codes_are_murmur3_of_eight_bytes():
    def code(form, value):
        return murmurhash3_32(struct.pack(form, value), seed=0, positive=True) % 10**6

    assert GOLDEN["i"] == [code("<q", 1), code("<q", -(2**62))]
    assert GOLDEN["f"] == [code("<d", 0.0), code("<d", 2.5)]
    assert GOLDEN["b"] == [code("<q", 1), code("<q", 0)]
    assert GOLDEN["w"][0] == code("<q", 1_356_998_400_000_000)


def test_golden_codes(device):
    data = {
        "t": ["N14228", "N24211"],
        "i": [1, -(2**62)],
        "f": [0.0, 2.5],
        "b": [True, False],
        "w": pd.to_datetime(["2013-01-01", "2013-01-02"]).to_series(index=range(2)),
    }
    made = try_op("hash: {columns: all, size: 1000000}", data, device=device)
    assert {n: plain(made[n]) for n in made.columns} == GOLDEN


def test_no_code_depends_on_other_rows_and_signs_of_zero():
    alone = try_op("hash: {columns: x}", {"x": [-0.0]})
    among = try_op("hash: {columns: x}", {"x": [5.0, 0.0]})
    assert alone["x"][0] == among["x"][1]


def test_the_column_is_a_category_and_sizes_are_checked():
    schema, _ = make_frame(any_rows(5))
    op = parse_op({"hash": {"columns": "text é"}})
    assert op.produces(schema) == [Column("text é", "int32", "category")]
    assert not op.requires_fit
    for size in (1, 2**31):
        with pytest.raises(ConfigError, match="size"):
            parse_op({"hash": {"columns": "x", "size": size}})
