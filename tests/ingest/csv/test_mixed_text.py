"""Columns of text that are nearly numbers are named, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.model import Source
from pipeline.ingest.csv.mixed_text import note_mixed_columns
from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.schema import infer_contract

NUMBERS = [str(n) for n in range(90)]


def notes(values: list[str], kind: str = "text", asked: tuple[str, ...] = ()):
    columns = [SourceColumn("a", kind)]
    return list(note_mixed_columns(columns, [values], asked, "data"))


def test_few_odd_values_are_proposed_as_missing() -> None:
    (note,) = notes([*NUMBERS, "low", "low", "high"])
    assert note.message == (
        "97% of the sampled values are numbers, but 'low' and 1 more are not: the column is read as text"
    )
    assert (note.kind, note.column) == ("type", "a")
    assert note.change == 'data.csv.missing: ["low", "high"]'


def test_many_odd_values_need_another_type() -> None:
    (note,) = notes([*NUMBERS, *(f"x{i}" for i in range(10))])
    assert note.change == "data.types: {a: float}"


@pytest.mark.parametrize(
    "values",
    [NUMBERS[:10] + ["x"] * 15, NUMBERS, ["x", "y"], [f"{n:03}" for n in range(90)] + ["x"], []],
    ids=["too few numbers", "numbers alone", "words", "codes", "nothing"],
)
def test_other_text_has_no_note(values: list[str]) -> None:
    assert notes(values) == []


def test_types_that_the_config_gives_are_not_doubted() -> None:
    assert notes([*NUMBERS, "low"], asked=("a",)) == []
    assert notes([*NUMBERS, "low"], kind="float") == []


def test_a_file_has_the_note(tmp_path: Path) -> None:
    odd = ["ab", "cd", "ef", "gh"] * 2
    (tmp_path / "a.csv").write_text("a,b\n" + "".join(f"{v},1\n" for v in [*odd, *NUMBERS]))
    contract = infer_contract(Source(path=(str(tmp_path / "a.csv"),)))
    assert contract.columns[0].type == "text"
    (note,) = [note for note in contract.notes if note.kind == "type"]
    assert note.change == 'data.csv.missing: ["ab", "cd", "ef", "gh"]'
