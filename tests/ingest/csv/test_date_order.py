"""Order of day and month across the columns of a file, and the notes on it."""

import pytest

from pipeline.config.model import Source
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.date_order import find_order, list_rivals
from pipeline.ingest.schema import infer_contract, match_contract

GUESS = "the order of day, month and year is a guess, "


def infer(path, text, **types):
    path.write_text(text)
    contract = infer_contract(Source(path=str(path), types=types))
    return {c.name: c.pattern for c in contract.columns}, [str(n) for n in contract.notes]


def test_a_column_has_the_order_of_another_one_of_its_file(tmp_path):
    patterns, notes = infer(tmp_path / "a.csv", "start,end\n01/02/2020,13/02/2020\n")
    assert patterns == {"start": "%d/%m/%Y", "end": "%d/%m/%Y"}
    assert notes == [
        f"start: {GUESS}%d/%m/%Y: day first, as in column end (2020-02-01 to 2020-02-01) "
        "(to change it: data.types: {start: '%m/%d/%Y'})",
        "end: read as dates written %d/%m/%Y: 2020-02-13 to 2020-02-13 "
        "(to change it: data.types: {end: text})",
    ]


@pytest.mark.parametrize(
    ("end", "types", "start"),
    [
        ("13-02-2020", {}, "%m/%d/%Y"),  # another separator
        ("13/02/2020,02/13/2020", {}, "%m/%d/%Y"),  # two orders
        ("13/02/2020", {"start": "%m/%d/%Y"}, "%m/%d/%Y"),  # the config decides
        ("03/02/2020", {"end": "%d/%m/%Y"}, "%d/%m/%Y"),  # also for other columns
        ("2020/13/02", {}, "%m/%d/%Y"), ("x", {}, "%m/%d/%Y"), ("13/02/20 10:00", {}, "%m/%d/%Y"),
        ("13/02/2020 10:00", {}, "%d/%m/%Y"), ("31/12/99", {}, "%d/%m/%Y"),
    ],
)  # fmt: skip
def test_only_a_certain_order_is_shared(tmp_path, end, types, start):
    names = ",".join(["start", "end", "third"][: end.count(",") + 2])
    patterns, _ = infer(tmp_path / "a.csv", f"{names}\n01/02/2020,{end}\n", **types)
    assert patterns["start"] == start


def test_words_that_mean_missing_do_not_disturb(tmp_path):
    rows = "".join(f"{m}/{d}/2020\n" for m in (3, 9, 1) for d in (2, 5, 11) for _ in range(3))
    patterns, notes = infer(tmp_path / "a.csv", "when\n" + rows + "?\n?\n")
    assert patterns == {"when": "%m/%d/%Y"}
    assert "`?` is read as missing" in notes[0] and GUESS in notes[1]


def test_new_data_keep_the_order_that_was_chosen(tmp_path):
    (tmp_path / "a.csv").write_text("when,y\n13/01/2020,1\n14/02/2020,0\n")
    trained = infer_contract(Source(path=str(tmp_path / "a.csv")))
    trained.write(tmp_path / "schema.json")
    trained = Contract.read(tmp_path / "schema.json")
    (tmp_path / "new.csv").write_text("when,y\n01/02/2020,1\n")
    contract = match_contract(trained, Source(path=str(tmp_path / "new.csv")), ["when"])
    assert contract.columns[0].pattern == "%d/%m/%Y" and contract.notes == ()


def test_orders_and_rivals():
    orders = {"%d/%m/%Y": "dmy", "%m-%d-%y %H:%M": "mdy", "%y/%m/%d": "ymd"}
    assert {p: find_order(p) for p in orders} == orders
    assert [find_order(p) for p in ("%Y-%m-%d", "%d %b %Y", "epoch s", "iso", None)] == [""] * 5
    assert list_rivals("%m/%d/%y", ["01/02/03"]) == ["%d/%m/%y", "%y/%m/%d"]
    assert list_rivals("%m/%d/%y", ["01/31/73"]) == []
