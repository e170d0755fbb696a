"""Tables of a run folder are opened within bounds, whatever their footers and pages claim."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts import manifest, stored_table
from pipeline.artifacts.parquet_pages import DamagedPages, count_pages
from pipeline.artifacts.stored_table import TableLimits, read_stored_table
from pipeline.errors import InputError

ROWS = 300_000


def varint(number, length):
    """A zigzag number of Thrift's compact protocol, in so many bytes."""
    number *= 2
    parts = [(number >> 7 * i & 127) | (128 if i < length - 1 else 0) for i in range(length)]
    return bytes(parts)


def with_footer_rows(path, rows, claimed):
    """Makes the footer, and nothing else, say another number of rows."""
    data = path.read_bytes()
    at = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[at:].replace(varint(rows, 3), varint(claimed, 3))
    assert footer != data[at:] and pq.read_metadata(pa.BufferReader(data[:at] + footer))
    path.write_bytes(data[:at] + footer)


@pytest.fixture
def repeated(tmp_path):
    """A small file of many equal rows."""
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": np.zeros(ROWS), "b": np.ones(ROWS)}).to_parquet(path, index=False)
    assert path.stat().st_size < 10_000
    return path


def test_tables_come_back_as_they_were_written(tmp_path):
    n = 150_000  # several pages, and more words than a dictionary takes
    frame = pd.DataFrame(
        {
            "key": [f"word {i}" for i in range(n)], "few": np.resize(["a", "b"], n),
            "x": np.linspace(0, 1, n), "i": np.arange(n), "b": np.arange(n) % 2 == 0,
            "t": pd.Series(pd.date_range("2024", periods=n, freq="min")).astype("datetime64[us]"),
            "n": pd.array(np.arange(n), dtype="Int64"), "m": pd.array([True, None] * (n // 2)),
        }
    )  # fmt: skip
    frame.loc[::5, ["key", "x", "n"]] = None
    for count in (n, 1, 0):
        path = tmp_path / f"{count}.parquet"
        frame.head(count).to_parquet(path, index=False)
        found = read_stored_table(path, TableLimits(count, 8, 4 << 20))
        pd.testing.assert_frame_equal(found, pd.read_parquet(path))


def test_a_footer_is_checked_before_the_file_is_read(repeated):
    read = []

    def watched(path, limit, look):
        with path.open("rb") as file:
            look(file)
        read.append(path)
        return path.read_bytes()

    with pytest.raises(InputError, match=f"claims {ROWS:,} rows, at most 10 are possible"):
        read_stored_table(repeated, TableLimits(10, 2), watched)
    with pytest.raises(InputError, match="claims 2 columns, at most 1 are possible"):
        read_stored_table(repeated, TableLimits(ROWS, 1), watched)
    assert read == []
    assert len(read_stored_table(repeated, TableLimits(ROWS, 2), watched)) == ROWS


def test_a_footer_that_lies_is_found_out_by_the_pages(repeated):
    with_footer_rows(repeated, ROWS, 10)
    assert pq.read_metadata(repeated).num_rows == 10
    with pytest.raises(InputError, match=r"claims 300,000 values in a column's pages, at most 10"):
        read_stored_table(repeated, TableLimits(10, 2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"compression": "zstd"}, "compressed with codec 6"),
        ({"compression": "gzip"}, "compressed with codec 2"),
        ({"use_dictionary": False, "column_encoding": {"s": "DELTA_BYTE_ARRAY"}}, "encoding 7"),
        ({"use_dictionary": False, "column_encoding": {"s": "DELTA_LENGTH_BYTE_ARRAY"}}, "encoding 6"),
    ],
)  # fmt: skip
def test_what_may_hold_more_than_it_seems_is_refused(tmp_path, options, said):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"s": ["a" * 1000] * 100}), path, **options)
    with pytest.raises(InputError, match=said):
        read_stored_table(path, TableLimits(100, 1, 1 << 20))


def test_texts_are_counted_before_each_row_gets_its_own(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"s": pa.array(["a" * 10_000] * 3000)}), path)
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="claims 30,000,000 bytes of text, at most 4,194,304"):
        read_stored_table(path, TableLimits(3000, 1, 4 << 20))


def test_pages_that_decompress_to_much_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"s": ["a" * 9_000_000]}), path)
    assert path.stat().st_size < 500_000
    with pytest.raises(InputError, match="bytes after decompression, at most"):
        read_stored_table(path, TableLimits(1, 1, 1 << 20))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({"a": [[1, 2], [3]]}), "is nested"),
        (pa.table({"a": [b"x"]}), "has the type binary"),
        (pa.table([[1], [2]], names=["a", "a"]), "the same name"),
    ],
)
def test_columns_that_no_run_writes_are_refused(tmp_path, table, said):
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match=said):
        read_stored_table(tmp_path / "t.parquet", TableLimits(10, 2, 100))


def test_damaged_bytes_are_refused_wherever_they_are(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"a": np.arange(50.0), "s": ["x", "y"] * 25})
    frame.to_parquet(path, index=False)
    data, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for at in random.integers(0, len(data), 3):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(
            damaged[: random.integers(1, len(data) + 1)] if random.random() < 0.3 else damaged
        )
        try:
            found = read_stored_table(path, TableLimits(50, 2, 1000))
            assert found.shape[0] <= 50
        except InputError as error:
            refused += "t.parquet" in error.message
    assert refused > 100


@pytest.mark.parametrize("data", [b"", b"PAR1", b"\0" * 100, b"x" * 20 + b"\xff\xff\xff\x7fPAR1"])
def test_what_has_no_footer_is_refused(tmp_path, data):
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises(InputError, match="it has no footer of Parquet"):
        read_stored_table(tmp_path / "t.parquet", TableLimits(10, 2))


def test_a_long_footer_is_not_read(tmp_path, monkeypatch, repeated):
    monkeypatch.setattr(stored_table, "MAX_FOOTER", 100)
    with pytest.raises(InputError, match="bytes of footer, at most 100"):
        read_stored_table(repeated, TableLimits(ROWS, 2))


@pytest.mark.parametrize(
    "header", [b"", b"\x15", b"\x15\xff" * 8, b"\x19\x00", b"\x00", b"\x1c" * 40, b"\x18\xff\x7f"]
)
def test_headers_that_lead_nowhere_are_refused(header):
    with pytest.raises(DamagedPages):
        count_pages(memoryview(header), 0, 100)


def test_a_large_file_is_hashed_before_it_is_read(tmp_path, monkeypatch):
    """Of a file that was altered no more than a block is in memory."""
    monkeypatch.setattr(manifest, "AT_ONCE", 10)
    (tmp_path / "a.bin").write_bytes(b"x" * 100)
    read = []
    monkeypatch.setattr(manifest.hashlib, "sha256", read.append)
    run = manifest.VerifiedRun(tmp_path, {"files": {"a.bin": "0" * 64}})
    with pytest.raises(InputError, match="was altered"):
        run.read(tmp_path / "a.bin")
    assert read == []
