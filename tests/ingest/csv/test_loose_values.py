"""Other spellings of integers, flags and booleans, in training and in new data."""

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.errors import DataError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.loose_values import add_bool_words, parse_loosely
from pipeline.ingest.csv.types import SourceColumn, parse_values
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract


def source(path, cells, **options):
    """A CSV of the column x beside one of text."""
    path.write_text("x,k\n" + "".join(f"{cell},a\n" for cell in cells))
    return Source(path=str(path), csv=Csv(delimiter=",", **options))


def read(contract, device=cpu, bad="error"):
    """The values of x, None for missing."""
    values = []
    for block in plan_blocks(contract):
        frame, _ = read_block(block, contract, ["x"], device, bad)
        column = device.to_host(frame)["x"].astype(object)
        values += column.where(column.notna(), None).to_list()
    return values


def learn(tmp_path, cells, **options):
    """The contract of a run on these cells, through its file."""
    contract = infer_contract(source(tmp_path / "old.csv", cells, **options))
    return Contract.from_json(json.loads(json.dumps(contract.to_json())))


def rescore(tmp_path, trained, cells, device, **options):
    """Read new cells as the run would."""
    new = source(tmp_path / "new.csv", cells, **options)
    return read(match_contract(trained, new, ["x"]), device)


WHOLE = {
    "48.0": 48, "48.": 48, " 7 ": 7, "-3.00": -3, "+5": 5, "007": 7, "1e3": 1000, "1.5E1": 15,
    "1e+16": 10**16, "-0.0": 0, "9223372036854775807.0": 2**63 - 1, "0x1A": 26, "5000000000": 5 * 10**9,
}  # fmt: skip
NOT_WHOLE = ("48.5", "x", "9223372036854775808", "1e400", "1e999999999", "--3", "1_0", "inf", "٣", "True")  # fmt: skip


@pytest.mark.parametrize(("cell", "value"), WHOLE.items())
def test_a_whole_number_is_an_integer_however_it_is_written(tmp_path, device, cell, value):
    trained = learn(tmp_path, ["48", "5", "7"])
    assert rescore(tmp_path, trained, ["1", cell, "", "2"], device) == [1, value, None, 2]
    asked = source(tmp_path / "a.csv", [cell, "3", ""]).model_copy(
        update={"types": {"x": "integer"}}
    )
    assert read(infer_contract(asked), device) == [value, 3, None]


@pytest.mark.parametrize("cell", NOT_WHOLE)
def test_what_is_no_whole_number_is_a_bad_value_with_its_line(tmp_path, device, cell):
    trained = learn(tmp_path, ["48", "5", "7"])
    with pytest.raises(DataError) as caught:
        rescore(tmp_path, trained, ["48.0", cell, "6.0"], device, missing={"only": []})
    assert f"line 3, column 'x': {cell!r} is not an integer" in str(caught.value)
    assert "loose" not in str(caught.value)
    new = match_contract(trained, source(tmp_path / "new.csv", ["48.0", cell, "6.0"]), ["x"])
    assert read(new, device, "quarantine") == [48, 6]


def test_floats_stay_floats_in_training_but_one_late_in_a_file_is_an_integer(tmp_path):
    assert learn(tmp_path, ["1.0", "2.0", "3.0"]).columns[0].type == "float"
    assert learn(tmp_path, ["1", "2.0", "3"]).columns[0].type == "float"
    many = [str(n) for n in range(3, 300_003)]
    many[150_000] = "2.0"  # outside of the sample
    contract = infer_contract(source(tmp_path / "a.csv", many))
    assert contract.columns[0].type == "integer"
    assert read(contract)[149_999:150_002] == [150_002, 2, 150_004]


@given(
    st.one_of(
        st.integers(-(2**70), 2**70),
        st.decimals(allow_nan=False, places=2),
        st.floats(allow_nan=False),
    )
)
def test_numbers_are_integers_exactly_if_they_are_whole_and_fit(number):
    fits = number not in (float("inf"), float("-inf")) and Decimal(number) == int(number)
    fits = fits and -(2**63) <= int(number) < 2**63
    # Python's text of a float is the shortest that gives it back, whose value may be another one
    value = Decimal(str(number)) if fits else None
    fits = fits and -(2**63) <= int(value) < 2**63
    found = parse_loosely(pa.array([str(number)]), pa.int64(), flags=False).to_pylist()
    assert found == [int(value) if fits else None]


@given(st.lists(st.from_regex(r"\s?[-+]?[0-9]{1,20}|0x[0-9a-f]{1,8}", fullmatch=True), min_size=1))
def test_integers_that_arrow_reads_are_the_same(words):
    dialect = learn_dialect()
    strict = parse_values(SourceColumn("x", "integer"), words, dialect)
    if strict is not None:
        loose = parse_values(SourceColumn("x", "integer").loosen(), words, dialect)
        assert loose.to_pylist() == strict.to_pylist()


# -- booleans ---------------------------------------------------------------------------------


def learn_dialect(**changes):
    from pipeline.ingest.csv.dialect import infer_dialect

    return infer_dialect(b"x,k\n1,a\n", "a.csv", Csv(**changes))


@pytest.mark.parametrize(
    "cells",
    [
        ("True", "False"), ("TRUE", "false"), ("1", "0"), ("1.0", "0.0"), ("yes", "no"),
        ("Yes", "No"), ("YES", "NO"), ("y", "n"), ("Y", "N"), ("t", "f"), ("T", "F"),
    ],
)  # fmt: skip
def test_a_column_of_booleans_knows_other_words_in_new_data(tmp_path, device, cells):
    trained = learn(tmp_path, ["true", "false"])
    assert rescore(tmp_path, trained, [*cells, "", cells[0]], device) == [True, False, None, True]
    if cells[0].lower() != "true":  # in training, the words are what they are
        assert learn(tmp_path, [*cells, ""]).columns[0].type in ("text", "integer", "float")


def test_words_that_do_not_tell_true_from_false_are_bad_values(tmp_path, device):
    trained = learn(tmp_path, ["true", "false"])
    for cell in ("2", "-1", "0.5", "maybe", "10"):
        with pytest.raises(DataError, match=r"line 3, column 'x': .* is not one of true, True"):
            rescore(tmp_path, trained, ["1", cell], device)


def test_the_words_of_a_run_keep_their_meaning(tmp_path, device):
    def listed(true, false):
        added = add_bool_words(replace(learn_dialect(), true=true, false=false))
        assert not {*added.true} & {*added.false}
        return {*added.true}, {*added.false}

    true, false = listed(("0",), ("1",))
    assert not {"1", "1.0"} & true and not {"0", "0.0"} & false
    assert "yes" in true and "no" in false
    true, false = listed(("1",), ("2",))
    assert "0" not in false and "1.0" not in true
    true, false = listed(("1",), ("0",))
    assert "1.0" in true and "0.0" in false
    true, false = listed(("n",), ("j",))  # neither `y` nor `N` is clear
    assert not {"y", "N"} & (true | false)
    trained = learn(tmp_path, ["0", "1", "1"], true=["0"], false=["1"])
    words = {"true": ["0"], "false": ["1"]}
    assert rescore(tmp_path, trained, ["0", "1", "Yes"], device, **words) == [True, False, True]
    with pytest.raises(DataError, match="'1.0' is not one of"):
        rescore(tmp_path, trained, ["1.0"], device, **words)
    # a word that means missing is missing
    trained = learn(tmp_path, ["true", "false"], missing=["n"])
    assert rescore(tmp_path, trained, ["n", "yes"], device) == [None, True]


@pytest.mark.parametrize("cells", [["0", "1", "1"], ["0.0", "1.0", ""]])
def test_true_and_false_are_1_and_0_in_a_column_of_these_alone(tmp_path, device, cells):
    trained = learn(tmp_path, cells)
    assert trained.columns[0].is_flag
    assert rescore(tmp_path, trained, ["True", "False", "", "1", "0.0"], device) == [
        1,
        0,
        None,
        1,
        0,
    ]
    with pytest.raises(DataError, match="line 3, column 'x': 'yes' is not a"):
        rescore(tmp_path, trained, ["True", "yes"], device)
    for others in (["0", "1", "2"], ["1.0", "0.5"]):
        trained = learn(tmp_path, others)
        assert not trained.columns[0].is_flag
        with pytest.raises(DataError, match="line 2, column 'x': 'True' is not a"):
            rescore(tmp_path, trained, ["True"], device)


def test_flags_of_floats_keep_other_numbers():
    words = ["1.0", "True", "0", "2.5", "+.5", "-1e3", "x"]
    found = parse_loosely(pa.array(words), pa.float64(), flags=True).to_pylist()
    assert found == [1.0, 1.0, 0.0, 2.5, 0.5, -1000.0, None]
    assert np.isinf(parse_loosely(pa.array(["inf"]), pa.float64(), flags=True)[0].as_py())
