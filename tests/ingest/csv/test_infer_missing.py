"""Words that mean missing in columns of numbers and dates, on both readers."""

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.config.model import Csv, Data, Source, Table
from pipeline.device import cpu
from pipeline.errors import DataError
from pipeline.ingest import reader_stats
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract
from pipeline.ingest.tables import read_table

WORDS = ("?", "-", ".", r"\N", "n/a", "none", "unknown", "0000-00-00", "Null", "--", "нет", "TBD!")
ROWS = 2_400


def read(contract, device, bad="error"):
    """The frame of all blocks, on the CPU."""
    blocks = plan_blocks(contract)
    frames = [read_block(b, contract, contract.schema.names, device, bad)[0] for b in blocks]
    return cpu.concat([device.to_host(frame) for frame in frames])


def write(path, columns, **source):
    """A CSV of lists of cells; with a target, the main table."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    csv = Csv(delimiter=",", **source.pop("csv", {}))
    return (Data if "target" in source else Source)(path=str(path), csv=csv, **source)


def numbers(rows, start=0):
    return [str(i) for i in range(start, start + rows)]


def types(contract):
    return {c.name: c.type for c in contract.columns}


VALUES = {
    "integer": lambda n: (np.arange(n) * 7 - 900).astype(str),
    "float": lambda n: (np.arange(n) / 8 - 40).astype(str),
    "date": lambda n: np.datetime_as_string(np.datetime64("1999-12-30") + np.arange(n)),
}


@pytest.mark.parametrize("share", [0.001, 0.02, 0.2])
@pytest.mark.parametrize("kind", VALUES)
def test_the_column_keeps_its_type_and_the_words_are_reported(
    tmp_path, monkeypatch, device, kind, share
):
    names = [f"c{i}" for i in range(len(WORDS))]
    chance = np.random.default_rng(len(kind))
    columns, places = {}, {}
    for name, word in zip(names, WORDS, strict=True):
        cells = VALUES[kind](ROWS).astype(object)
        places[name] = np.sort(chance.choice(ROWS, round(share * ROWS), replace=False))
        cells[places[name]] = word
        columns[name] = cells.tolist()
    source = write(tmp_path / "a.csv", columns)
    contract = infer_contract(source)
    assert set(types(contract).values()) == {kind}
    assert sorted(contract.csv_dialect.inferred_missing) == sorted(WORDS)
    count = round(share * ROWS)
    assert [str(n) for n in contract.notes] == [
        f"{name}: `{word}` is read as missing in {count} of 2,400 sampled rows "
        f"(to change it: data.types: {{{name}: text}})"
        for name, word in zip(names, WORDS, strict=True)
    ]
    # the quick readers read such files, not the one for bad rows
    monkeypatch.setattr(csv_block, "parse_records", None)
    reader_stats.take_counts()
    frame = read(contract, device)
    assert {reason for _, reason in reader_stats.take_counts()} <= {""}
    for name in names:
        assert np.flatnonzero(frame[name].isna()).tolist() == places[name].tolist()
        good = np.delete(VALUES[kind](ROWS), places[name])
        present = frame[name].dropna()
        expected = pd.Series(good).astype("datetime64[us]" if kind == "date" else "float64")
        assert present.to_list() == expected.to_list()
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract


def test_formatted_numbers_and_dates_with_patterns(tmp_path, device):
    columns = {
        "price": [f"${i}.5" for i in range(100)],
        "when": [f"{i % 28 + 1:02}.01.2020" for i in range(100)],
    }
    for cells in columns.values():
        cells[3:9] = ["-"] * 6
    contract = infer_contract(write(tmp_path / "a.csv", columns))
    assert types(contract) == {"price": "float", "when": "date"}
    assert read(contract, device).isna().sum().to_list() == [6, 6]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (numbers(198) + ["?"] * 2, "integer"),
        (numbers(70) + ["?"] * 30, "integer"),
        (numbers(69) + ["?"] * 31, "text"),  # too many
        (numbers(2) + ["word"] * 98, "text"),
        (numbers(90) + ["?", "-", "."] * 2, "integer"),
        (numbers(90) + ["?", "-", ".", "x"] * 2, "text"),  # too many distinct ones
        (numbers(90) + [*"abcdefgh"], "text"),  # each stands alone
        (numbers(90) + ["5+"] * 5, "text"),  # words have no digits
        (numbers(90) + ["-999"] * 5, "integer"),  # a number is not a word
        (["001", "002"] * 40 + ["?"] * 5, "text"),  # codes
        (["a", "b"] * 40, "text"),
        (["true", "false"] * 40 + ["?"] * 5, "bool"),
        (["true", "false"] * 40 + ["maybe"] * 5, "text"),  # rather a third class
        (["2020-01-31"] * 40 + ["0000-00-00 00:00:00"] * 5, "date"),
        (["inf", "1.5"] * 40 + ["?"] * 5, "float"),
    ],
)
def test_which_words_are_missing(tmp_path, device, cells, kind):
    mixed = np.random.default_rng(0).permutation(cells).tolist()  # not all words in one half
    contract = infer_contract(write(tmp_path / "a.csv", {"x": mixed, "z": ["1"] * len(cells)}))
    assert types(contract)["x"] == kind
    noted = [note for note in contract.notes if note.kind == "missing"]
    assert bool(noted) == (kind != "text" and "-999" not in cells)
    assert len(read(contract, device)) == len(cells)


def test_a_word_that_stands_alone_is_a_bad_value(tmp_path, device):
    cells = numbers(200)
    cells[150] = "?"
    source = write(tmp_path / "a.csv", {"x": cells, "z": cells[::-1]})
    contract = infer_contract(source)
    assert not contract.notes
    with pytest.raises(DataError, match=r"line 152, column 'x': '\?' is not an integer") as raised:
        read(contract, device)
    assert 'if it means missing, add it to the words: data.csv.missing: ["?"]' in raised.value.fix
    csv = Csv(delimiter=",", missing=["?"])
    assert (
        read(infer_contract(source.model_copy(update={"csv": csv})), device).isna().sum().sum() == 2
    )


def test_a_word_of_one_column_holds_in_all_but_text(tmp_path, device):
    columns = {"x": numbers(100), "once": numbers(100), "mostly": ["?"] * 80 + numbers(20),
               "word": ["?", "a"] * 50, "flag": ["true", "false"] * 50}  # fmt: skip
    columns["x"][:5] = ["?"] * 5
    columns["once"][7] = columns["flag"][8] = "?"
    contract = infer_contract(write(tmp_path / "a.csv", columns))
    assert types(contract) == {"x": "integer", "once": "integer", "mostly": "integer",
                               "word": "text", "flag": "bool"}  # fmt: skip
    frame = read(contract, device)
    assert frame.isna().sum().to_list() == [5, 1, 80, 0, 1]
    assert {n.column: n.message for n in contract.notes}["once"] == (
        "`?` is read as missing in 1 of 100 sampled rows"
    )


def test_strict_words_are_errors(tmp_path, device):
    cells = numbers(100)
    cells[40:42] = ["-", "-"]
    contract = infer_contract(
        write(
            tmp_path / "a.csv",
            {"x": cells, "z": numbers(100)},
            csv={"strict": True},
            types={"x": "integer"},
        )  # fmt: skip
    )
    assert not contract.notes
    with pytest.raises(DataError, match="line 42, column 'x': '-' is not an integer"):
        read(contract, device)


@pytest.mark.parametrize("kind", ["integer", "float", "decimal", "date", "datetime", "bool"])
def test_columns_whose_type_the_config_gives(tmp_path, device, kind):
    value = {"date": "2020-01-31", "datetime": "2020-01-31 10:00:00", "bool": "true"}.get(kind, "7")
    source = write(tmp_path / "a.csv", {"x": [value] * 80 + ["n/a"] * 20, "z": numbers(100)},
                   types={"x": kind})  # fmt: skip
    contract = infer_contract(source)
    assert types(contract)["x"] == kind
    assert read(contract, device)["x"].isna().sum() == 20
    assert contract.notes[0].message == "`n/a` is read as missing in 20 of 100 sampled rows"
    as_text = infer_contract(source.model_copy(update={"types": {"x": "text"}}))
    assert not as_text.notes
    assert read(as_text, device)["x"].isna().sum() == 0


@pytest.mark.parametrize("quoted", [False, True])
def test_cells_of_blanks_are_missing(tmp_path, monkeypatch, device, quoted):
    blanks = [" ", "  ", "\t", " " * 12]
    cells = [f'"{c}"' if quoted else c for c in blanks]
    columns = {name: [value] * 50 + cells for name, value in
               [("i", "5"), ("f", "1.5"), ("b", "true"), ("d", "2020-01-31"), ("s", "a"), ("m", "$1")]}  # fmt: skip
    contract = infer_contract(write(tmp_path / "a.csv", columns))
    assert [c.type for c in contract.columns] == [
        "integer",
        "float",
        "bool",
        "date",
        "text",
        "float",
    ]
    assert {n.message for n in contract.notes if n.kind == "missing"} == {
        "blank cells are read as missing in 4 of 54 sampled rows"
    }
    with monkeypatch.context() as m:
        m.setattr(csv_block, "parse_records", None)
        assert read(contract, device).isna().sum().to_list() == [4] * 6
    # unusual blanks are found one by one
    columns["s"][1] = " \t" * 30
    text = infer_contract(write(tmp_path / "b.csv", {"s": columns["s"], "z": columns["b"]}))
    assert read(text, device)["s"].isna().sum() == 5
    columns["i"][0] = " \t" * 30
    again = infer_contract(write(tmp_path / "b.csv", columns))
    assert read(again, device).isna().sum().to_list() == [5, 4, 4, 4, 5, 4]


def test_words_of_a_text_are_reported_and_those_of_classes_are_values(tmp_path, device):
    columns = {"x": numbers(90), "region": ["NA", "EU", " "] * 30}
    contract = infer_contract(write(tmp_path / "a.csv", columns, target="x"))
    assert [str(n) for n in contract.notes] == [
        'region: `NA` is read as missing in 30 of 90 sampled rows (to change it: data.csv.missing: {only: [""]})',
        "region: blank cells are read as missing in 30 of 90 sampled rows",
    ]
    assert read(contract, device)["region"].isna().sum() == 60
    for target in ("region", 'region == "NA"'):
        contract = infer_contract(write(tmp_path / "a.csv", columns, target=target))
        assert len(contract.notes) == 1
        region = read(contract, device)["region"]
        assert region.astype(object).value_counts().to_dict() == {"NA": 30, "EU": 30}
        assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    for csv in ({"missing": ["NA"]}, {"missing": {"only": ["NA"]}}):  # the config says so itself
        contract = infer_contract(write(tmp_path / "a.csv", columns, target="x", csv=csv))
        assert [n.message for n in contract.notes] == [
            "blank cells are read as missing in 30 of 90 sampled rows"
        ]


def test_words_of_a_side_table_are_reported_with_its_name(tmp_path):
    write(tmp_path / "t.csv", {"k": numbers(50), "temp": numbers(48) + ["-"] * 2})
    table = Table(path=str(tmp_path / "t.csv"), keys="k", csv=Csv(delimiter=","))
    _, frame, notes = read_table("weather", table)
    assert frame["temp"].isna().sum() == 2
    assert [str(n) for n in notes] == [
        "weather.temp: `-` is read as missing in 2 of 50 sampled rows "
        "(to change it: data.tables.weather.types: {temp: text})"
    ]


def test_new_data_know_the_words_of_the_run_and_add_their_own(tmp_path, device):
    columns = {"x": numbers(98) + ["?"] * 2, "s": ["NA", "a"] * 50, "y": ["NA", "b"] * 50}
    trained = infer_contract(write(tmp_path / "a.csv", columns, target="y"))
    trained = Contract.from_json(json.loads(json.dumps(trained.to_json())))
    new = write(
        tmp_path / "b.csv",
        {"x": ["1", "?", "3", "-", "-"] + numbers(5), "s": ["?"] * 10, "y": ["NA"] * 10},
    )
    contract = match_contract(trained, new, ["x", "s"], ["y"])
    frame = read(contract, device)
    assert frame.isna().sum().to_dict() == {"x": 3, "s": 0, "y": 0}
    assert [str(n) for n in contract.notes] == [
        "x: `?` and `-` are read as missing in 3 of 10 sampled rows"
    ]
    # the words of the run's config hold, whatever those of the new source
    old = infer_contract(write(tmp_path / "a.csv", columns, csv={"missing": {"only": []}}))
    assert read(match_contract(old, new, ["x", "s"], ["y"]), device)["y"].isna().sum() == 0


def test_the_reader_of_bad_rows_knows_the_words(tmp_path, device):
    columns = {"x": numbers(97) + ["?", "?", " "], "s": ["NA", "?"] * 50, "c": ["NA", "b"] * 50}
    source = write(tmp_path / "a.csv", columns, target="c")
    contract = infer_contract(source)
    expected = read(contract, device)
    assert expected.isna().sum().to_dict() == {"x": 3, "s": 50, "c": 0}
    with open(source.path[0], "a") as file:
        file.write("1,2,3,4\n")
    found = read(infer_contract(source), device, "quarantine")
    pd.testing.assert_frame_equal(found.astype(object), expected.astype(object))


def test_runs_of_versions_that_inferred_no_words(tmp_path):
    columns = {"x": numbers(10), "s": ["a", "b"] * 5}
    contract = infer_contract(write(tmp_path / "a.csv", columns))
    data = json.loads(json.dumps(contract.to_json()))
    del data["dialect"]["inferred_missing"]
    for column in data["columns"]:
        del column["keeps_words"]
    assert Contract.from_json(data) == contract


def test_parquet_keeps_its_words(tmp_path):
    cells = numbers(90) + ["?"] * 10
    pd.DataFrame({"x": cells}).to_parquet(tmp_path / "a.parquet")
    contract = infer_contract(Source(path=str(tmp_path / "a.parquet")))
    assert types(contract) == {"x": "text"}
    assert not contract.notes
    assert read(contract, cpu)["x"].isna().sum() == 0


def test_a_column_may_have_words_of_its_own_beside_those_of_another(tmp_path):
    ages = [str(20 + i % 50) for i in range(90)] + ["-"] * 10
    incomes = [str(1000 * i + 7) for i in range(70)] + ["-"] * 15 + ["no answer"] * 15
    contract = infer_contract(write(tmp_path / "a.csv", {"age": ages, "income": incomes}))
    assert [c.type for c in contract.columns] == ["integer", "integer"]
    assert contract.csv_dialect.inferred_missing == ("-", "no answer")
