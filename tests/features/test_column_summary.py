"""The summary of the columns: types as read, missing values, and what becomes of each."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.config.model import Source
from pipeline.config.stored import check_stored
from pipeline.features import column_summary
from pipeline.features.column_summary import ColumnSummary, columns_adapter, summarise_columns
from pipeline.features.registry import parse_ops
from pipeline.ingest.schema import infer_contract

CSV = "id,when,price,kind,note,y\n" + "".join(
    f'{i},{1 + i % 28:02}.01.2020,"$1,{i % 10}00.50",{"ab"[i % 2]},t{i},{i % 2}\n'
    for i in range(60)
)


def summarise(tmp_path: Path, ops, **facts) -> dict[str, ColumnSummary]:
    path = tmp_path / "k=7" / "a.csv"
    path.parent.mkdir()
    path.write_text(CSV)
    contract = infer_contract(Source(path=(str(tmp_path),), types={"price": "float"}))
    schema = contract.schema
    source = type(schema)(tuple(schema), target=frozenset({"y"}))
    facts = {"reasons": {}, "left_out": {}, "missing": dict.fromkeys(schema.names, 0)} | facts
    columns = summarise_columns(contract, source, parse_ops(ops), **facts)
    return {column.column: column for column in columns}


def test_types_are_named_with_their_format(tmp_path: Path) -> None:
    columns = summarise(tmp_path, [])
    assert columns["id"].type == "integer"
    assert columns["when"].type == "date %d.%m.%Y"
    assert columns["price"].type.startswith("float $1,234.56")
    assert columns["k"].type == "integer (folder)"


def test_uses_follow_ops_reasons_and_the_columns_left_out(tmp_path: Path) -> None:
    ops = [
        {"scale": {"columns": ["price"]}},
        {"categorify": {"columns": ["kind"]}},
        {"drop": ["note"]},
    ]
    missing = {"id": 3, "when": 0, "price": 0, "kind": 0, "note": 0, "y": 0}
    columns = summarise(
        tmp_path, ops, left_out={"id": "the rows' weights"}, missing=missing,
        reasons={"kind": "text with 2 values"},
    )  # fmt: skip
    uses = {name: (column.becomes, column.used) for name, column in columns.items()}
    assert uses == {
        "id": ("left out: the rows' weights", False),
        "when": ("a feature", True),
        "price": ("scale", True),
        "kind": ("text with 2 values → categorify", True),
        "note": ("left out: dropped by the config", False),
        "y": ("the target", False),
        "k": ("not used", False),
    }
    assert (columns["id"].missing, columns["k"].missing) == (3, None)


def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    columns = list(summarise(tmp_path, []).values())
    text = json.dumps(column_summary.to_json(columns, 60))
    stored = check_stored(columns_adapter(), json.loads(text), "columns.json")
    assert stored.rows == 60
    assert [ColumnSummary(**c.model_dump()) for c in stored.columns] == columns
