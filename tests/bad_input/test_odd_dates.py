"""Dates that no storage dtype holds, in every place that reads one: a bad value, never a crash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.expression import parse
from pipeline.features.stats.text_parsing import parse_texts
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.pandas_input import from_pandas
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from pipeline.schema import EARLIEST, LATEST, Column, Schema

ODD = (
    "0000-01-01", "0000-00-00", "0000-12-31T23:59:59", "0000-01-01T00:00:00Z", "10000-01-01",
    "-0044-03-15", "2024-02-32", "2023-02-29", "2024-13-01", "2024-00-10", "2024-01-01T24:00:00",
    "2016-12-31T23:59:60", "2016-12-31T23:59:60Z", "0001-01-01T00:00:00+12:00",
    "9999-12-31T23:00:00-12:00", "2024-01-01T00:00:00+99:00",
)  # fmt: skip
WORD = st.sampled_from(ODD) | st.builds(
    "{:04}-{:02}-{:02}{}{}".format,
    st.integers(0, 10_000), st.integers(0, 13), st.integers(0, 32),
    st.sampled_from(["", "T00:00:00", " 23:59:59", "T23:59:60", "T24:00:00"]),
    st.sampled_from(["", "Z", "+14:00", "-12:00"]),
)  # fmt: skip


def python_micros(word: str) -> int | None:
    """µs since 1970 as Python's `datetime` reads the word; None if it does not."""
    try:
        stamp = datetime.fromisoformat(word)
        moved = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return (moved - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def read_csv(path, words, kind):
    path.write_text("t,n\n" + "".join(f"{word},{i}\n" for i, word in enumerate(words)))
    contract = infer_contract(Source(path=str(path), types={"t": kind}))
    (block,) = plan_blocks(contract, 1 << 20, None)
    return read_block(block, contract, ["t", "n"], cpu, "quarantine")


@given(WORD, st.sampled_from(["date", "datetime"]), st.sampled_from(["", "Z"]))
@example("0000-01-01", "date", "")
@example("0001-01-01T00:00:00+12:00", "datetime", "Z")
def test_csv_takes_a_date_as_python_does_or_rejects_the_row(tmp_path_factory, word, kind, zone):
    good = ["2024-01-01" + ("" if kind == "date" else f"T10:00:00{zone}")] * 20
    frame, rejected = read_csv(tmp_path_factory.mktemp("d") / "d.csv", [*good, word], kind)
    assert len(frame) + (0 if rejected is None else len(rejected)) == 21
    times = frame["t"].to_numpy().astype("int64")
    assert (times >= EARLIEST).all() and (times <= LATEST).all()
    if rejected is None:
        assert times[-1] == python_micros(word)
    else:
        assert rejected["line"].to_list() == [22] and rejected["column"].to_list() == ["t"]


@pytest.mark.parametrize("word", ODD)
def test_texts_and_literals_of_expressions_are_refused(word):
    _, fits = parse_texts(np.array([word], dtype=object), "datetime", None)
    assert not fits[0]
    frame = pd.DataFrame({"t": np.array(["2024-01-01"], dtype="datetime64[us]")})
    with pytest.raises(ConfigError, match="is not a date or time"):
        parse(f't > "{word}"').evaluate(frame, cpu)


@pytest.mark.parametrize("word", ["0000-01-01", "10000-01-01", "-0044-03-15", "2024-02-32"])
def test_frames_are_refused_by_row_and_value(word):
    with pytest.raises(DataError, match="column 't', row 1: .* is not a timestamp of the years 1"):
        from_pandas(pd.DataFrame({"t": ["2024-01-01", word]}), Schema([Column("t", "datetime")]))


def read_parquet(path, values):
    pq.write_table(pa.table({"t": values}), path)
    contract = infer_contract(Source(path=str(path)))
    (block,) = plan_blocks(contract, 1 << 20, None)
    return read_block(block, contract, ["t"], cpu)[0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("ms"), 2**62), (pa.timestamp("ms"), -(2**62)), (pa.timestamp("us"), LATEST + 1),
        (pa.timestamp("us"), EARLIEST - 1), (pa.timestamp("us", "UTC"), -(2**63)),
        (pa.date32(), 2**31 - 1), (pa.date32(), -719_163),
    ],
)  # fmt: skip
def test_parquet_times_never_wrap_around(tmp_path, kind, value):
    whole = pa.array([0, value], pa.int32() if kind == pa.date32() else pa.int64())
    with pytest.raises(DataError, match=r"d\.parquet, column 't'.*(years 1 to 9999|bounds)"):
        read_parquet(tmp_path / "d.parquet", whole.cast(kind))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parquet_times_within_the_bounds_are_read(tmp_path, unit):
    stamps = pa.array([0, -1_500_000_000, 1_500_000_001, None]).cast(pa.timestamp(unit))
    found = read_parquet(tmp_path / "d.parquet", stamps)["t"]
    assert found.equals(stamps.to_pandas().astype("datetime64[us]").rename("t"))
    ends = pa.array([EARLIEST, LATEST]).cast(pa.timestamp("us"))
    assert len(read_parquet(tmp_path / "e.parquet", ends)) == 2
